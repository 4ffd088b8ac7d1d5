/**
 * Reads host sockets: datagrams into the arena, in batches with room for headers in front of each, and what the error queue says.
 *
 * Each datagram gets room for the largest one, so none is ever cut short; `GuestDatagrams.settle` closes the gaps behind small ones. A
 * socket is read level-triggered and only `DATAGRAMS_PER_TURN_MAX` at a time: what is left is announced again in the next turn.
 */
import { DATAGRAMS_PER_TURN_MAX } from '../base/limits.ts';
import type { Output } from '../graph/node.ts';
import type { Packets } from '../packet/packets.ts';
import { ERRNO } from '../sys/errno.ts';
import { DATAGRAM_WORDS, ERROR_RECORD_WORDS, POLL, type Sys } from '../sys/sys.ts';
import type { DatagramSockets } from './datagram-sockets.ts';
import { FRONT_BYTES, type GuestDatagrams } from './guest-datagrams.ts';

const BATCH_MAX = 64;
/** With less room than this in the arena, what was built is sent first. */
const BATCH_MIN = 8;
/** The packet's headers and UDP's. */
const HEADROOM_BYTES: number = FRONT_BYTES + 8;
/**
 * More than any UDP payload or ICMP message (raw sockets put the IP header in front), such that with the headroom it is a multiple of
 * 4.
 */
const DATAGRAM_BYTES: number = 65_540 + ((4 - (HEADROOM_BYTES % 4)) % 4);
const STRIDE = HEADROOM_BYTES + DATAGRAM_BYTES;
/** As much as any ICMP error quotes. */
const QUOTE_BYTES = 1280;
/** Errors fetched in one go. */
const ERRORS_MAX = 64;

const START = 0;
const LENGTH = 1;

/** Who gets what was read. */
export interface DatagramSink {
  /** One datagram: the record at `at` of `records`, as `receiveDatagrams` fills it. */
  received(socket: number, records: Int32Array, at: number): void;
  /** All datagrams of a batch have been told. */
  batchReceived(): void;
  /** One error, as `receiveError` fills the record; `quote` holds what came back of the datagram. */
  failed(socket: number, record: Int32Array, quote: DataView): void;
}

export class DatagramReceiver {
  readonly #sys: Sys;
  readonly #packets: Packets;
  readonly #arenaMemory: number;
  readonly #sockets: DatagramSockets;
  readonly #datagrams: GuestDatagrams;
  readonly #output: Output;
  readonly #sink: DatagramSink;
  readonly #records: Int32Array = new Int32Array(BATCH_MAX * DATAGRAM_WORDS);
  readonly #recordsMemory: number;
  readonly #error: Int32Array = new Int32Array(ERROR_RECORD_WORDS);
  readonly #quote: DataView = new DataView(new ArrayBuffer(QUOTE_BYTES));
  readonly #quoteMemory: number;

  constructor(
    sys: Sys,
    packets: Packets,
    arenaMemory: number,
    sockets: DatagramSockets,
    datagrams: GuestDatagrams,
    output: Output,
    sink: DatagramSink,
  ) {
    this.#sys = sys;
    this.#packets = packets;
    this.#arenaMemory = arenaMemory;
    this.#sockets = sockets;
    this.#datagrams = datagrams;
    this.#output = output;
    this.#sink = sink;
    this.#recordsMemory = sys.register(this.#records);
    this.#quoteMemory = sys.register(new Uint8Array(this.#quote.buffer));
  }

  /** The socket is ready. No received packet is in use. */
  ready(socket: number, events: number): void {
    if ((events & POLL.ERR) !== 0) this.drainErrors(socket);
    if ((events & POLL.IN) === 0) return;
    let left = DATAGRAMS_PER_TURN_MAX;
    while (left > 0) {
      const wanted = this.#room(Math.min(left, BATCH_MAX));
      if (wanted <= 0) return;
      const count = this.#receive(socket, wanted);
      if (count === -ERRNO.EAGAIN) return;
      if (count < 0) {
        // What ICMP said of an earlier datagram stands in front of the next one: the error queue says it better.
        this.drainErrors(socket);
        left--;
        continue;
      }
      left -= count;
      if (count < wanted) return;
    }
  }

  /** Tells the sink all that the error queue holds. */
  drainErrors(socket: number): void {
    for (let i = 0; i < ERRORS_MAX; i++) {
      const fd = this.#sockets.fd[socket];
      if (this.#sys.receiveError(fd, this.#quoteMemory, 0, QUOTE_BYTES, this.#error) <= 0) return;
      this.#sink.failed(socket, this.#error, this.#quote);
    }
  }

  /** How many datagrams may come now, at most `wanted`. */
  #room(wanted: number): number {
    const room = this.#roomNow(wanted);
    if (room >= Math.min(wanted, BATCH_MIN)) return room;
    this.#output.flush();
    return this.#roomNow(wanted);
  }

  #roomNow(wanted: number): number {
    const { used, bytes, count, start } = this.#packets;
    return Math.min(wanted, start.length - count, Math.floor((bytes.length - align(used)) / STRIDE));
  }

  #receive(socket: number, wanted: number): number {
    const at = align(this.#packets.used);
    const end = at + wanted * STRIDE;
    const fd = this.#sockets.fd[socket];
    const records = this.#records;
    const count = this.#sys.receiveDatagrams(
      fd,
      this.#arenaMemory,
      at,
      end,
      HEADROOM_BYTES,
      DATAGRAM_BYTES,
      this.#recordsMemory,
      0,
      wanted,
    );
    if (count <= 0) return count === 0 ? -ERRNO.EAGAIN : count;
    const last = (count - 1) * DATAGRAM_WORDS;
    this.#datagrams.reserve(records[last + START] + records[last + LENGTH]);
    for (let i = 0; i < count; i++) this.#sink.received(socket, records, i * DATAGRAM_WORDS);
    this.#sink.batchReceived();
    this.#datagrams.reserve(0);
    return count;
  }
}

function align(at: number): number {
  return (at + 3) & ~3;
}
