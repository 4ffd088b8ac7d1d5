/**
 * Where a program that we stand in for tells what it does.
 *
 * | who                                     | to                                                       |
 * | --------------------------------------- | -------------------------------------------------------- |
 * | in the foreground                       | the standard error                                       |
 * | on the way to the background            | the starter's standard error, by the starter             |
 * | in the background                       | the system's log, unless more was asked for (`--debug`)  |
 * | with a log file                         | that, and what is wrong before all is ready as above too |
 */
import { type Failure, type Result, success } from '../../base/result.ts';
import type { LogLevel } from '../../engine/session-host.ts';
import { harmless } from '../../engine/text.ts';
import { StandardError } from '../standard-error.ts';
import { tellStarter } from './background.ts';
import { openBoundedLogFile } from './bounded-log-file.ts';
import { connectSystemLog } from './system-log.ts';

export interface ProgramLogOptions {
  readonly program: string;
  readonly verbosity: 'quiet' | 'normal' | 'debug' | 'trace';
  readonly path: string | undefined;
  readonly bytesMax: number;
  readonly background: boolean;
}

export type WriteLog = (level: LogLevel, message: string) => void;

export interface ProgramLog {
  readonly write: WriteLog;
  /** There is nobody any more who waits for us to be ready. */
  ready(): void;
  /** Resolves when all is written, or nobody reads. */
  close(): Promise<void>;
}

const LEVELS: readonly LogLevel[] = ['error', 'warning', 'info', 'debug'];

export function openProgramLog(options: ProgramLogOptions): Result<ProgramLog> {
  const { program, verbosity, path, bytesMax, background } = options;
  const file = path === undefined ? success(undefined) : openBoundedLogFile(path, bytesMax);
  if (!file.ok) return file;
  const most = LEVELS.indexOf(verbosity === 'quiet' ? 'warning' : verbosity === 'normal' ? 'info' : 'debug');
  const standardError = background ? undefined : new StandardError();
  const lasting = lastingLog();
  let isReady = false;

  function lastingLog(): WriteLog {
    if (file.ok && file.value !== undefined) {
      const { value } = file;
      return (level, message) => value.write(`${new Date().toISOString()} ${level}: ${message}\n`);
    }
    if (background) return most < LEVELS.indexOf('debug') ? connectSystemLog(program) : () => {};
    return toStandardError;
  }

  function toStandardError(level: LogLevel, message: string): void {
    const serious = level === 'error' || level === 'warning' ? `${level}: ` : '';
    const line = `${program}: ${serious}${message}\n`;
    if (standardError === undefined) tellStarter(line);
    else standardError.write(line);
  }

  return success({
    write: (level, message) => {
      const severity = LEVELS.indexOf(level);
      if (severity > most) return;
      const text = harmless(message);
      const isSerious = severity <= LEVELS.indexOf('warning');
      if (isReady || lasting === toStandardError || path !== undefined) lasting(level, text);
      if (!isReady && lasting !== toStandardError && (path === undefined || isSerious)) toStandardError(level, text);
    },
    ready: () => {
      isReady = true;
    },
    close: async () => standardError?.close(),
  });
}

/** A failure with its causes. */
export function tellFailure(reason: Failure, write: WriteLog): void {
  for (let at: Failure | undefined = reason; at !== undefined; at = at.cause) {
    write('error', at === reason ? at.message : `because: ${at.message}`);
  }
}
