/**
 * `tapster slirp4netns`: stays in the foreground, tells `--ready-fd` when it works, and goes when something happens at `--exit-fd` or a signal says so.
 *
 * Every session is confined, with --enable-sandbox and --enable-seccomp or without.
 */
import { closeSync, fstatSync, writeSync } from 'node:fs';
import { failure, type Result, success } from '../../base/result.ts';
import { joinSession } from '../../engine/join-session.ts';
import { packageVersion } from '../../engine/package-version.ts';
import type { SessionHooks } from '../../engine/session-host.ts';
import { DROPIN_EXIT } from './command-line.ts';
import { nameProcess } from './process-name.ts';
import { openProgramLog, type ProgramLog, tellFailure } from './program-log.ts';
import { readSlirp4netnsCommandLine, type Slirp4netnsOptions } from './slirp4netns-options.ts';
import { toSlirpJoinOptions } from './slirp4netns-run-options.ts';
import { startSlirpServer } from './slirp4netns-server.ts';

const PROGRAM = 'slirp4netns';
const STANDARD_OUTPUT = 1;
const STANDARD_ERROR = 2;

/** Returns the exit status. */
export async function slirp4netnsCommand(args: readonly string[]): Promise<number> {
  const line = readSlirp4netnsCommandLine(args, packageVersion());
  if (line.kind === 'print') {
    writeSync(STANDARD_OUTPUT, line.text);
    return DROPIN_EXIT.success;
  }
  const missing = line.kind === 'run' ? whyNot(line.options) : undefined;
  if (line.kind === 'refused' || missing !== undefined) {
    writeSync(STANDARD_ERROR, line.kind === 'refused' ? line.text : `${PROGRAM}: ${missing}\n`);
    return DROPIN_EXIT.refused;
  }
  nameProcess(PROGRAM);
  const opened = openProgramLog({
    program: PROGRAM,
    verbosity: 'normal',
    path: undefined,
    bytesMax: 0,
    background: false,
  });
  if (!opened.ok) return DROPIN_EXIT.refused;
  const log = opened.value;
  try {
    for (const warning of line.warnings) log.write('warning', warning);
    return await run(line.options, log);
  } finally {
    await log.close();
  }
}

async function run(options: Slirp4netnsOptions, log: ProgramLog): Promise<number> {
  const descriptors = checkDescriptors(options);
  if (!descriptors.ok) {
    log.write('error', descriptors.failure.message);
    return DROPIN_EXIT.refused;
  }
  const hooks: SessionHooks = {
    flowSinks: [],
    log: log.write,
    published: () => {},
    forwarding: (forwards) =>
      options.apiSocketPath === undefined
        ? success(undefined)
        : startSlirpServer(options.apiSocketPath, forwards, options.plan),
    ready: () => {
      if (options.readyDescriptor !== undefined) tellReady(options.readyDescriptor, log);
    },
  };
  const ended = await joinSession(toSlirpJoinOptions(options), hooks);
  if (ended.ok) return ended.value;
  tellFailure(ended.failure, log.write);
  return DROPIN_EXIT.refused;
}

/** What Tapster does not do, as a sentence; undefined: all can be done. */
function whyNot({ target }: Slirp4netnsOptions): string | undefined {
  if (target.kind === 'bess')
    return '--target-type bess: User Mode Linux is not served; use "tapster guest" for machines';
  return target.kind === 'tap' ? '--netns-type tapfd: the tap is always our own; use pid or path' : undefined;
}

/** A descriptor that is none would be found out when the caller waits already. */
function checkDescriptors({ readyDescriptor, exitDescriptor }: Slirp4netnsOptions): Result<void> {
  for (const [option, fd] of [
    ['--ready-fd', readyDescriptor],
    ['--exit-fd', exitDescriptor],
  ] as const) {
    if (fd === undefined) continue;
    try {
      fstatSync(fd);
    } catch {
      return failure('descriptor-closed', `${option} ${fd}: there is no such descriptor; pass one that is open`);
    }
  }
  return success(undefined);
}

function tellReady(fd: number, log: ProgramLog): void {
  try {
    writeSync(fd, '1');
    closeSync(fd);
  } catch (error) {
    log.write('warning', `--ready-fd ${fd}: ${(error as NodeJS.ErrnoException).code}: nobody was told`);
  }
}
