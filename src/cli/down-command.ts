/** What `tapster down` does: asks an engine to end, and waits until everything is undone. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError } from '../control/api-error.ts';
import { connect } from '../control/client.ts';
import { connectOptions, type EngineFlags } from './engine-flags.ts';
import { EXIT } from './exit.ts';
import type { Output } from './output.ts';

/** Many taps in many namespaces take a while. */
const END_TIMEOUT_MS = 60_000;
const POLL_MS = 20;

export async function downCommand(flags: EngineFlags, output: Output): Promise<number> {
  try {
    const client = await connect(connectOptions(flags));
    const { name, pid } = await client.engine();
    const isOurs = isThere(pid);
    await client.stopEngine();
    await client.close();
    for (let waitedMs = 0; waitedMs < END_TIMEOUT_MS; waitedMs += POLL_MS) {
      // Its number says nothing where it is in another namespace of process numbers; its socket does.
      if (isOurs ? !isThere(pid) : !(await answers(flags))) return EXIT.success;
      await sleep(POLL_MS);
    }
    output.error(
      `tapster: the engine ${name} (process ${pid}) was asked to end, and has not after ${END_TIMEOUT_MS / 1000} s\n`,
    );
    return EXIT.refused;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    output.error(`tapster: ${error.message}\n`);
    return EXIT.refused;
  }
}

/** A process that has ended and whose parent does not care (a zombie, proc_pid_stat(5)) has undone everything. */
function isThere(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch {
    return false;
  }
}

async function answers(flags: EngineFlags): Promise<boolean> {
  try {
    await (await connect(connectOptions(flags))).close();
    return true;
  } catch {
    return false;
  }
}
