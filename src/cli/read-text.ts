/** Files of text that a command names. */
import { readFileSync } from 'node:fs';
import { failure, type Result, success } from '../base/result.ts';

/** A configuration of a hundred thousand routes has less; beyond it the file is refused. */
const TEXT_BYTES_MAX = 16 * 1024 * 1024;

/** `file`: a path, or 0 for the standard input. */
export function readText(file: string | 0): Result<string> {
  const name = file === 0 ? 'the standard input' : file;
  try {
    const bytes = readFileSync(file);
    if (bytes.length > TEXT_BYTES_MAX) {
      return failure('file-too-large', `${name} has ${bytes.length} bytes: ${TEXT_BYTES_MAX} at most`);
    }
    return success(bytes.toString('utf8'));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = { ENOENT: 'there is no such file', EISDIR: 'it is a folder', EACCES: 'you may not read it' }[
      code ?? ''
    ];
    return failure('file-unreadable', `${name} can't be read: ${why ?? code ?? message}`);
  }
}
