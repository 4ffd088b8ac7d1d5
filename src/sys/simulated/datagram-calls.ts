/** The batch calls of `Sys` on a simulated datagram socket: records in registered memory on one side, datagrams as objects on the other. */
import { ERRNO } from '../errno.ts';
import { DATAGRAM_WORDS, ERROR_RECORD_WORDS } from '../sys.ts';
import type { DatagramSocket } from './datagram.ts';
import { readEndpoint, writeEndpoint } from './endpoint.ts';
import type { Memories } from './memory.ts';

/** Where payloads are to be put. */
export interface ReceiveArea {
  readonly memory: number;
  readonly at: number;
  readonly end: number;
  readonly headroom: number;
  readonly datagramBytesMax: number;
}

export function receive(
  socket: DatagramSocket,
  memories: Memories,
  area: ReceiveArea,
  records: number,
  recordsAt: number,
  max: number,
): number {
  if (socket.error !== 0) return -socket.takeError();
  const words = memories.words(records, recordsAt, max * DATAGRAM_WORDS);
  memories.bytes(area.memory, area.at, area.end - area.at);
  const stride = area.headroom + area.datagramBytesMax;
  let count = 0;
  for (let start = area.at + area.headroom; count < max && start + area.datagramBytesMax <= area.end; start += stride) {
    const datagram = socket.take();
    if (datagram === undefined) break;
    const length = Math.min(datagram.payload.length, area.datagramBytesMax);
    memories.bytes(area.memory, start, length).set(datagram.payload.subarray(0, length));
    const record = recordsAt + count * DATAGRAM_WORDS;
    words[record] = start;
    words[record + 1] = length;
    words[record + 2] = datagram.segmentBytes;
    words[record + 3] = datagram.ttl;
    words[record + 4] = datagram.trafficClass;
    words[record + 5] = length < datagram.payload.length ? 1 : 0;
    writeEndpoint(words, record + 6, datagram.from);
    count++;
  }
  return count;
}

export function send(
  socket: DatagramSocket,
  memories: Memories,
  memory: number,
  records: number,
  recordsAt: number,
  count: number,
): number {
  const words = memories.words(records, recordsAt, count * DATAGRAM_WORDS);
  for (let i = 0; i < count; i++) {
    const record = recordsAt + i * DATAGRAM_WORDS;
    const payload = memories.bytes(memory, words[record]!, words[record + 1]!);
    const to = readEndpoint(words, record + 6);
    const sent = socket.send(payload, words[record + 2]!, words[record + 3]!, words[record + 4]!, to);
    if (sent < 0) return i === 0 ? sent : i;
  }
  return count;
}

export function receiveError(socket: DatagramSocket, target: Uint8Array, record: Int32Array): number {
  if (record.length < ERROR_RECORD_WORDS) return -ERRNO.EINVAL;
  const queued = socket.takeQueued();
  if (queued === undefined) return 0;
  const { error, to, payload } = queued;
  const length = Math.min(payload.length, target.length);
  target.set(payload.subarray(0, length));
  record[0] = error.errno;
  record[1] = error.origin;
  record[2] = error.type;
  record[3] = error.code;
  record[4] = error.info;
  record[5] = length;
  writeEndpoint(record, 6, to);
  writeEndpoint(record, 12, error.offender);
  return 1;
}
