/**
 * `-v`: one line for people per flow as it opens and as it closes.
 *
 *     #12 open   tcp 10.0.2.15:40312 > registry.example.org:443 (192.0.2.7) established
 *     #12 close  tcp 10.0.2.15:40312 > registry.example.org:443 (192.0.2.7) closed after 1.25 s, sent 2.31 kB, received 45.6 MB, rtt 12.3 ms
 *     #13 open   tcp 198.51.100.1:51000 > 10.0.2.15:80 (published) established
 */
import type { FlowRecord, FlowSink } from './flow-record.ts';
import { formatBytes, formatDuration, formatEndpoint, harmless } from './text.ts';

export class FlowLines implements FlowSink {
  readonly #write: (line: string) => void;

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  opened(record: FlowRecord): void {
    this.#write(`#${record.id} open   ${conversation(record)} ${record.outcome}`);
  }

  closed(record: FlowRecord): void {
    const { outcome, durationMs, bytesOut, bytesIn, rttUs } = record;
    const bytes = `sent ${formatBytes(bytesOut)}, received ${formatBytes(bytesIn)}`;
    const rtt = rttUs === undefined ? '' : `, rtt ${(rttUs / 1000).toFixed(1)} ms`;
    this.#write(
      `#${record.id} close  ${conversation(record)} ${outcome} after ${formatDuration(durationMs)}, ${bytes}${rtt}`,
    );
  }
}

/** `tcp GUEST > REMOTE (what else is known)`. */
export function conversation(record: FlowRecord): string {
  const icmp = record.protocol === 'icmp' || record.protocol === 'icmpv6';
  const guest = formatEndpoint(record.guest.address, icmp ? undefined : record.guest.port);
  const port = icmp ? undefined : record.remote.port;
  const notes: string[] = [];
  if (record.name !== undefined) notes.push(record.remote.address);
  if (record.target !== undefined) {
    notes.push(`to ${formatEndpoint(record.target.address, icmp ? undefined : record.target.port)}`);
  }
  if (record.direction === 'in') notes.push('published');
  const remote = record.name === undefined ? formatEndpoint(record.remote.address, port) : named(record.name, port);
  const [from, to] = record.direction === 'out' ? [guest, remote] : [remote, guest];
  return `${record.protocol} ${from} > ${to}${notes.length > 0 ? ` (${notes.join(', ')})` : ''}`;
}

function named(name: string, port: number | undefined): string {
  return port === undefined ? harmless(name) : `${harmless(name)}:${port}`;
}
