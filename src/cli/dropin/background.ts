/**
 * Going to the background once all is ready, as daemons do: whoever starts us waits until then, and learns why not.
 *
 * Node can't fork: the first process (the *starter*) starts a second one with the same words, in a session of its own (setsid(2)) and without a terminal. Its standard error
 * is a pipe to the starter, who passes on what comes. A zero byte says that all is ready: the starter ends well, and nobody reads the pipe any more. An end without it
 * is a failure, whose reason was passed on. The caller's own standard streams never reach the second process: who waits for their end does not wait for the daemon's.
 */
import { spawn } from 'node:child_process';
import { writeSync } from 'node:fs';
import { constants } from 'node:os';
import { DROPIN_EXIT } from './command-line.ts';

/** In the environment of the second process. */
const MARK = 'TAPSTER_BACKGROUND';
const STANDARD_ERROR = 2;
/** Descriptors are named to the second process one by one. */
const DESCRIPTOR_MAX = 1023;

/** Whether this is the second process. To be asked once: what we start is not meant. */
export function isInBackground(): boolean {
  const { [MARK]: mark } = process.env;
  delete process.env[MARK];
  return mark !== undefined;
}

/** Starts the second process, waits until it is ready, and returns our exit status. `descriptor`: an open one that it needs under the same number. */
export async function startInBackground(program: string, descriptor: number | undefined): Promise<number> {
  if (descriptor !== undefined && descriptor > DESCRIPTOR_MAX) {
    writeSync(
      STANDARD_ERROR,
      `${program}: descriptor ${descriptor} is above ${DESCRIPTOR_MAX}: use -f, or a lower one\n`,
    );
    return DROPIN_EXIT.refused;
  }
  const passed = descriptor === undefined ? [] : new Array<'ignore' | number>(descriptor - 2).fill('ignore');
  if (descriptor !== undefined) passed[descriptor - 3] = descriptor;
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe', ...passed],
    env: { ...process.env, [MARK]: '1' },
  });
  return await new Promise<number>((resolve) => {
    child.once('error', (error) => {
      writeSync(STANDARD_ERROR, `${program}: the daemon can't be started: ${error.message}\n`);
      resolve(DROPIN_EXIT.refused);
    });
    child.stderr!.on('data', (bytes: Buffer) => {
      const end = bytes.indexOf(0);
      writeSync(STANDARD_ERROR, end < 0 ? bytes : bytes.subarray(0, end));
      if (end >= 0) resolve(DROPIN_EXIT.success);
    });
    child.once('close', () => resolve(DROPIN_EXIT.refused));
    for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => {
        child.kill('SIGTERM');
        resolve(128 + constants.signals[signal]);
      });
    }
  });
}

/** To the starter, from the second process. False: nobody waits any more. */
export function tellStarter(text: string): boolean {
  try {
    writeSync(STANDARD_ERROR, text);
    return true;
  } catch {
    return false;
  }
}

/** What says that all is ready. */
export const READY = '\0';
