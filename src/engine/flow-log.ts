/**
 * `--flows FILE`: one JSON object per line, one when a flow opens and one when it closes, in the order in which it happened.
 *
 * | field                                    | meaning                                                                                     |
 * | ---------------------------------------- | ------------------------------------------------------------------------------------------- |
 * | `event`                                  | `open` or `close`                                                                           |
 * | `id`                                     | the flow's number: the same in both lines, no other flow of this run has it                 |
 * | `time`                                   | when it happened: ISO 8601 with milliseconds, UTC                                           |
 * | `protocol`                               | `tcp`, `udp`, `icmp`, `icmpv6`                                                              |
 * | `direction`                              | `out`: the command called; `in`: somebody called the command (a published port)             |
 * | `guest`                                  | the command's end: `address` and `port` (for ICMP the echo identifier)                      |
 * | `remote`                                 | the other end as the command sees it                                                        |
 * | `target`                                 | where the host's socket really went, only when that differs from `remote`                   |
 * | `name`                                   | the name that the command had asked DNS for to get `remote`, only when known                |
 * | `outcome`                                | `established`, `refused`, `unreachable`, `timeout`, `reset`, `closed`, `denied`, `failed`, `killed` |
 * | `packetsOut`, `packetsIn`                | IP packets that the command sent and got, only in `close`                                   |
 * | `bytesOut`, `bytesIn`                    | bytes of payload that it sent and got, only in `close`                                      |
 * | `durationMs`                             | from open to close, only in `close`                                                         |
 * | `rttUs`                                  | round-trip time on the host's side in microseconds, only where known                        |
 *
 * An existing file is kept and appended to. Writing is described in `file-appender.ts`; lines beyond `QUEUED_BYTES_MAX` are lost whole, and how many is
 * said in the end.
 */
import { type Result, success } from '../base/result.ts';
import { FileAppender, openOutput } from './file-appender.ts';
import type { FlowRecord, FlowSink } from './flow-record.ts';

/** Lines that wait for a slow reader: some 25,000 of them. */
const QUEUED_BYTES_MAX = 8 * 1024 * 1024;

const CLOSE_TIMEOUT_MS = 2000;

/** Opens the log. `report` hears of errors, each once. */
export function openFlowLog(path: string, report: (message: string) => void): Result<FlowLog> {
  const output = openOutput(path, true);
  if (!output.ok) return output;
  const { fd, owned } = output.value;
  const failed = (reason: string): void => report(`flow log "${path}": ${reason}; no more is written to it`);
  return success(new FlowLog(new FileAppender(fd, owned, QUEUED_BYTES_MAX, failed), path, report));
}

export class FlowLog implements FlowSink {
  readonly #appender: FileAppender;
  readonly #path: string;
  readonly #report: (message: string) => void;
  readonly #encoder: InstanceType<typeof TextEncoder> = new TextEncoder();
  #lost: number = 0;

  constructor(appender: FileAppender, path: string, report: (message: string) => void) {
    this.#appender = appender;
    this.#path = path;
    this.#report = report;
  }

  opened(record: FlowRecord): void {
    this.#append(openLine(record));
  }

  closed(record: FlowRecord): void {
    this.#append(closeLine(record));
  }

  /** Resolves when all lines are in the file. */
  async close(): Promise<void> {
    const worked = this.#appender.working;
    await this.#appender.close(CLOSE_TIMEOUT_MS);
    if (worked && this.#lost > 0) {
      this.#report(`flow log "${this.#path}": ${this.#lost} lines were lost, its reader was too slow`);
    }
  }

  #append(line: string): void {
    if (!this.#appender.append(this.#encoder.encode(line))) this.#lost++;
  }
}

export function openLine(record: FlowRecord): string {
  const { outcome } = record;
  return toLine({ ...identity(record, 'open', record.openedAt), outcome, rttUs: record.rttUs });
}

export function closeLine(record: FlowRecord): string {
  const { outcome, packetsOut, packetsIn, bytesOut, bytesIn, durationMs, rttUs } = record;
  const head = identity(record, 'close', record.openedAt + durationMs);
  return toLine({ ...head, outcome, packetsOut, packetsIn, bytesOut, bytesIn, durationMs, rttUs });
}

function identity(record: FlowRecord, event: 'open' | 'close', timeMs: number): object {
  const { id, protocol, direction, guest, remote, target, name } = record;
  return { event, id, time: new Date(timeMs).toISOString(), protocol, direction, guest, remote, target, name };
}

/** Fields that are undefined are left out. Control characters in names are escaped, those beyond ASCII too: the file may be looked at in a terminal. */
function toLine(value: object): string {
  const json = JSON.stringify(value).replace(/[^\x20-\x7e]/g, escapeUnit);
  return `${json}\n`;
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
