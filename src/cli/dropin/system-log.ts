/**
 * The system's log, by its socket: what syslog(3) of the C library writes there.
 *
 *     <PRIORITY>Mmm dd hh:mm:ss NAME[PID]: MESSAGE
 *
 * Connected once, while we may still open things; a logger that is restarted does not hear of us again. It never holds us up: what it does not take is lost.
 */
import { writeSync } from 'node:fs';
import type { LogLevel } from '../../engine/session-host.ts';
import { UNIX_TYPE, unixCalls } from '../../sys/unix-socket.ts';

const SOCKET_PATH = '/dev/log';
/** syslog.h: LOG_DAEMON, and the levels. */
const FACILITY: number = 3 << 3;
const SEVERITY: Readonly<Record<LogLevel, number>> = { error: 3, warning: 4, info: 6, debug: 7 };

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

export type SystemLog = (level: LogLevel, message: string) => void;

/** `name`: of the program. Nothing is written anywhere where the system has no log. */
export function connectSystemLog(name: string, path: string = SOCKET_PATH): SystemLog {
  const fd = unixCalls.unixConnect(path, UNIX_TYPE.DATAGRAM);
  if (fd < 0) return () => {};
  return (level, message) => {
    try {
      writeSync(fd, systemLogLine(name, process.pid, level, message, new Date()));
    } catch {}
  };
}

export function systemLogLine(name: string, pid: number, level: LogLevel, message: string, now: Date): string {
  const month = MONTHS[now.getMonth()];
  const day = String(now.getDate()).padStart(2);
  const time = [now.getHours(), now.getMinutes(), now.getSeconds()].map((each) => String(each).padStart(2, '0'));
  return `<${FACILITY | SEVERITY[level]}>${month} ${day} ${time.join(':')} ${name}[${pid}]: ${message}`;
}
