/** `tapster up --detach`: a second process, in a session of its own, without a terminal. What it says goes to a file. */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { failure, type Result, success } from '../base/result.ts';
import { stateFolder } from './state-folder.ts';

/** From the second process to the first, once. */
export type Report = { readonly ready: string } | { readonly failed: readonly string[] };

/** Resolves when it is ready, with what to say of it. `words`: the arguments of the program. */
export async function startDetached(name: string, words: readonly string[]): Promise<Result<string>> {
  const log = openLog(name);
  if (!log.ok) return log;
  const { path, fd } = log.value;
  const script = process.argv[1] as string;
  const child = spawn(process.execPath, [...process.execArgv, script, ...words], {
    cwd: '/',
    // setsid(2): signals of our terminal do not reach it.
    detached: true,
    stdio: ['ignore', fd, fd, 'ipc'],
  });
  closeSync(fd);
  const report = await new Promise<Report | undefined>((done) => {
    child.once('message', (message) => done(message as Report));
    child.once('exit', () => done(undefined));
    child.once('error', () => done(undefined));
  });
  if (child.connected) child.disconnect();
  child.unref();
  if (report === undefined) return failure('daemon-ended', `the daemon ended before it was ready: see ${path}`);
  if ('failed' in report) {
    const [first = '', ...causes] = report.failed;
    return failure('daemon-failed', first, causes.length === 0 ? undefined : causesOf(causes));
  }
  return success(`tapster: ${report.ready}\ntapster: process ${child.pid}, log in ${path}\n`);
}

/** To whoever started us detached, if somebody did. */
export function reportToStarter(report: Report): void {
  if (process.send === undefined || !process.connected) return;
  process.send(report, () => process.disconnect());
}

function openLog(name: string): Result<{ readonly path: string; readonly fd: number }> {
  const folder = stateFolder();
  if (folder === undefined) {
    return failure('state-folder-missing', 'there is no folder for the log: set XDG_STATE_HOME, or HOME');
  }
  const path = join(folder, `${name}.log`);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return success({ path, fd: openSync(path, 'a', 0o600) });
  } catch (error) {
    return failure('log-failed', `${path} can't be written: ${(error as NodeJS.ErrnoException).code}`);
  }
}

/** They were told with "because" in front. */
function causesOf(lines: readonly string[]): ReturnType<typeof failure>['failure'] {
  const [first = '', ...others] = lines;
  const message = first.replace(/^ *because: /, '');
  return others.length === 0 ? { code: 'cause', message } : { code: 'cause', message, cause: causesOf(others) };
}
