/** Daemons that tests have started, by their PID files. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after } from 'node:test';
import type { Lab } from '../support/netns/lab.ts';

/** Starts daemons, and ends those in the end that a failed test left. To be made where tests are described. */
export class Daemons {
  readonly #lab: Lab;
  readonly #pids: number[] = [];

  constructor(lab: Lab) {
    this.#lab = lab;
    after(() => {
      for (const pid of this.#pids) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
    });
  }

  /** Starts `tapster WORDS -P FILE OPERANDS` and resolves, when that has ended well, with the PID of what it left running. */
  async start(words: readonly string[], operands: readonly string[] = []): Promise<number> {
    const path = this.#lab.newPath('pid');
    const started = await this.#lab.start([...words, '-P', path, ...operands]).ended;
    assert.equal(started.status, 0, started.stderr);
    const pid = Number(readFileSync(path, 'utf8').match(/^([0-9]+)\n$/)?.[1]);
    this.#pids.push(pid);
    assert.ok(isAlive(pid), 'the PID file names the daemon, and it runs');
    return pid;
  }
}

/** A process that has ended and that nobody has waited for counts as ended. */
export function isAlive(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}
