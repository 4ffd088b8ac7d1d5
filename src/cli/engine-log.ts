/** What an engine tells of itself, a line each: for people or for programs, as its configuration says at the moment. */
import type { LoggingConfig } from '../config/config.ts';
import { harmless } from '../engine/text.ts';

export type LogLevel = LoggingConfig['level'];

/** The most serious first. */
export const LOG_LEVELS: readonly LogLevel[] = ['error', 'warning', 'info', 'debug'];

export interface LogSettings {
  readonly level: LogLevel;
  readonly format: LoggingConfig['format'];
}

/** `settings` is asked for each line: a configuration may change. `dated`: nobody else writes the time beside it. */
export function makeEngineLog(
  settings: () => LogSettings,
  write: (line: string) => void,
  dated: boolean,
): (level: LogLevel, message: string) => void {
  return (level, message) => {
    const { level: wanted, format } = settings();
    if (LOG_LEVELS.indexOf(level) > LOG_LEVELS.indexOf(wanted)) return;
    const time = new Date().toISOString();
    if (format === 'json') {
      write(`${JSON.stringify({ time, level, message })}\n`);
      return;
    }
    const serious = level === 'error' || level === 'warning' ? `${level}: ` : '';
    write(`${dated ? `${time} ` : ''}tapster: ${serious}${harmless(message)}\n`);
  };
}
