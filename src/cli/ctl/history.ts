/** Commands that were typed, kept from one session to the next: `$XDG_STATE_HOME/tapster/history`, the oldest first, for the user's eyes only. */
import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { stateFolder } from '../state-folder.ts';

/** Lines kept; beyond it the oldest go. */
export const HISTORY_LINES_MAX: number = 1000;
/** A longer line is not kept. */
const LINE_CHARACTERS_MAX = 1000;

export class History {
  readonly #path: string | undefined;

  constructor(env: NodeJS.ProcessEnv = process.env) {
    const folder = stateFolder(env);
    this.#path = folder === undefined ? undefined : join(folder, 'history');
  }

  /** The oldest first. None, where nothing can be read. */
  read(): string[] {
    if (this.#path === undefined) return [];
    try {
      return readFileSync(this.#path, 'utf8').split('\n').filter(isKept).slice(-HISTORY_LINES_MAX);
    } catch {
      return [];
    }
  }

  /** Adds what was typed in this session to what others may have added meanwhile. A history that can't be written is no reason to bother anybody. */
  append(lines: readonly string[]): void {
    const added = lines.filter(isKept);
    if (this.#path === undefined || added.length === 0) return;
    const kept = [...this.read(), ...added].filter((line, index, all) => line !== all[index - 1]);
    const draft = `${this.#path}.${process.pid}`;
    try {
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
      writeFileSync(draft, `${kept.slice(-HISTORY_LINES_MAX).join('\n')}\n`, { mode: 0o600 });
      chmodSync(draft, 0o600);
      renameSync(draft, this.#path);
    } catch {
      // See above.
    }
  }
}

function isKept(line: string): boolean {
  return line.trim() !== '' && line.length <= LINE_CHARACTERS_MAX;
}
