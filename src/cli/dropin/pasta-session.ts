/**
 * `pasta` and `passt`, running: opens what takes the rights that we were started with, runs the session as whom we become, and says how it ended.
 *
 * In this order, for callers who wait: the log and the PID file are opened; the session makes all that it needs; root becomes somebody else; the PID file is
 * written; whoever waits learns that all is ready.
 */
import { chownSync, openSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { failure, type Result, success } from '../../base/result.ts';
import { FlowLines } from '../../engine/flow-lines.ts';
import type { GuestHooks } from '../../engine/guest-session.ts';
import { READY, tellStarter } from './background.ts';
import { DROPIN_EXIT } from './command-line.ts';
import type { PastaOptions } from './pasta-options.ts';
import { toGuestOptions, toJoinOptions, toRunOptions } from './pasta-run-options.ts';
import { nameProcess } from './process-name.ts';
import { openProgramLog, type ProgramLog, tellFailure } from './program-log.ts';
import { become, resolveRunAs } from './run-as.ts';
import { startSessionApi } from './session-api.ts';
import { tellStatistics } from './statistics.ts';

const STANDARD_ERROR = 2;
const { SIGQUIT, SIGTERM } = constants.signals;

/** Returns the exit status. `background`: nobody sees our standard streams, and a starter waits. */
export async function runPasta(
  options: PastaOptions,
  warnings: readonly string[],
  background: boolean,
): Promise<number> {
  const { program, verbosity, logPath, logBytesMax } = options;
  nameProcess(program);
  const opened = openProgramLog({ program, verbosity, path: logPath, bytesMax: logBytesMax, background });
  if (!opened.ok) {
    writeSync(STANDARD_ERROR, `${program}: ${opened.failure.message}\n`);
    return DROPIN_EXIT.refused;
  }
  const log = opened.value;
  try {
    for (const warning of warnings) log.write('warning', warning);
    const hooks = makeHooks(options, log, background);
    const ended = hooks.ok ? await runSession(options, hooks.value) : hooks;
    if (ended.ok) return ended.value;
    tellFailure(ended.failure, log.write);
    return DROPIN_EXIT.refused;
  } finally {
    await log.close();
  }
}

function makeHooks(options: PastaOptions, log: ProgramLog, background: boolean): Result<GuestHooks> {
  const { program, pidPath, controlPath, runAs, statsSeconds, verbosity } = options;
  const identity = resolveRunAs(runAs);
  if (!identity.ok) return identity;
  const pidFile = pidPath === undefined ? success(undefined) : openPidFile(pidPath);
  if (!pidFile.ok) return pidFile;
  const flows = new FlowLines((line) => log.write('debug', line));
  return success({
    flowSinks: verbosity === 'debug' || verbosity === 'trace' ? [flows] : [],
    log: log.write,
    ...(verbosity === 'trace' ? { packet: (line: string) => log.write('debug', line) } : {}),
    published: () => {},
    listening: (path) => {
      // Whom we become is whose socket it is.
      if (identity.value !== undefined) chownSync(path, identity.value.uid, identity.value.gid);
      log.write('info', `listening at ${path}`);
    },
    forwarding: (forwards) =>
      controlPath === undefined ? success(undefined) : startSessionApi(controlPath, program, forwards),
    prepared: () => {
      if (background) process.chdir('/');
      return identity.value === undefined ? success(undefined) : become(identity.value);
    },
    ready: (engine) => {
      if (statsSeconds !== undefined) tellStatistics(engine, statsSeconds, (line) => log.write('info', line));
      if (pidFile.value !== undefined) writeSync(pidFile.value, `${process.pid}\n`);
      if (!background) return;
      log.ready();
      // Whoever started us has been ended meanwhile, so nobody would know of us.
      if (!tellStarter(READY)) process.kill(process.pid, SIGTERM);
    },
  });
}

async function runSession(options: PastaOptions, hooks: GuestHooks): Promise<Result<number>> {
  const { guest } = options;
  if (guest.kind === 'virtual-machine') {
    const { guestSession } = await import('../../engine/guest-session.ts');
    return askedToEnd(await guestSession(toGuestOptions(options, guest), hooks));
  }
  if (guest.target.kind === 'new') {
    const { runSession: runWithCommand } = await import('../../engine/run-session.ts');
    return runWithCommand(toRunOptions(options, guest, guest.target.command), hooks);
  }
  const { joinSession } = await import('../../engine/join-session.ts');
  return askedToEnd(await joinSession(toJoinOptions(options, guest), hooks));
}

/** Whoever asks for an end by these signals wants just that: it is no failure. */
function askedToEnd(ended: Result<number>): Result<number> {
  const asked = ended.ok && (ended.value === 128 + SIGTERM || ended.value === 128 + SIGQUIT);
  return asked ? success(DROPIN_EXIT.success) : ended;
}

/** Opened before anything is made, so that nothing is where it can't be written. */
function openPidFile(path: string): Result<number> {
  try {
    return success(openSync(path, 'w', 0o644));
  } catch (error) {
    return failure(
      'pid-file-failed',
      `the PID file ${path} can't be written: ${(error as NodeJS.ErrnoException).code}`,
    );
  }
}
