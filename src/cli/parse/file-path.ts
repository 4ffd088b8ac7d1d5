/** Files that options name. */
import { type Parsed, parsed, wrong } from './parsed.ts';

/** `-` is the standard output, unless the option has no use for it. */
export function parseFilePath(text: string): Parsed<string> {
  if (text === '') return wrong('empty', 'Use the name of a file.');
  if (text.includes('\0')) return wrong('contains a zero byte', 'Use the name of a file.');
  if (text.startsWith('-') && text !== '-') {
    return wrong('looks like an option', `Give the file's name; if it really is called that: ./${text}.`);
  }
  return parsed(text);
}

/** A capture is binary, and the standard output is the command's: `-` is refused. */
export function parseCapturePath(text: string): Parsed<string> {
  if (text === '-') {
    return wrong(
      'the standard output belongs to the command',
      'Use a file or a named pipe; a program can read /dev/fd/N.',
    );
  }
  return parseFilePath(text);
}
