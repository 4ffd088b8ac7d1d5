/**
 * The fragments of datagrams that are not complete yet (RFC 791, section 3.2; RFC 8200, section 4.5), of both IP versions.
 *
 * What comes here is the guest's word: every offset and length is checked, and the store is of fixed size, `REASSEMBLIES_MAX` datagrams
 * of up to 65,535 bytes. When all are in use, the oldest is given up. A datagram that is not complete `REASSEMBLY_TIMEOUT_MS` after its
 * first fragment is given up, in silence.
 *
 * Overlap. A fragment that overlaps another one condemns its datagram, with all that may still come of it, until its time is over (RFC
 * 5722, for IPv6; here for IPv4 too). One that brings nothing but bytes which are there already, all of them equal, is a duplicate made
 * by the network and does no harm: it is ignored.
 *
 * Received bytes are kept track of in units of 8, the unit of fragment offsets, one bit each. The last fragment may end in a part of a
 * unit.
 */
import { copyBytes, equalBytes } from '../base/bytes.ts';
import { REASSEMBLIES_MAX, REASSEMBLY_BYTES_MAX, REASSEMBLY_TIMEOUT_MS } from '../base/limits.ts';

/** Words of a key: interface << 8 | protocol (IPv6: 0), source and destination (four words each; IPv4 mapped), identification. */
const KEY_WORDS = 10;

/** Room for one datagram's payload. */
const DATAGRAM_BYTES = 65_536;
const PAYLOAD_BYTES_MAX = 65_535;
const UNIT_BYTES = 8;
const WORDS_PER_DATAGRAM: number = DATAGRAM_BYTES / UNIT_BYTES / 32;

/** Room for what goes in front of the payload: the Ethernet and IP header of the fragment with offset 0, up to 14 + 60 bytes. */
export const FRONT_BYTES: number = 80;

const FREE = 0;
const GATHERING = 1;
const CONDEMNED = 2;

/** What `add` returns when the datagram is not complete. Anything above is a complete datagram's number. */
export const HELD = -1;
export const INVALID = -2;

export class Reassembly {
  /** The key to look up: the caller fills it. */
  readonly probe: Int32Array = new Int32Array(KEY_WORDS);
  /** Payloads: datagram n at `payloadAt(n)`; and what the caller keeps of the first fragment, at `frontAt(n)`. */
  readonly payloads: DataView;
  readonly fronts: DataView;
  /** Datagrams given up because of their age, for want of room, and because fragments overlapped. */
  expired: number = 0;
  evicted: number = 0;
  overlapped: number = 0;

  readonly #max: number;
  readonly #keys: Int32Array;
  readonly #state: Uint8Array;
  readonly #startedMs: Float64Array;
  readonly #order: Float64Array;
  /** Payload bytes of the whole datagram, -1 until its last fragment is there. */
  readonly #total: Int32Array;
  readonly #received: Int32Array;
  /** Where the fragment ends that reaches farthest. */
  readonly #farthest: Int32Array;
  readonly #frontBytes: Int32Array;
  readonly #units: Int32Array;
  #nowMs: number = 0;
  #opened: number = 0;

  constructor(datagramsMax: number = Math.min(REASSEMBLIES_MAX, Math.floor(REASSEMBLY_BYTES_MAX / DATAGRAM_BYTES))) {
    this.#max = datagramsMax;
    this.payloads = new DataView(new ArrayBuffer(datagramsMax * DATAGRAM_BYTES));
    this.fronts = new DataView(new ArrayBuffer(datagramsMax * FRONT_BYTES));
    this.#keys = new Int32Array(datagramsMax * KEY_WORDS);
    this.#state = new Uint8Array(datagramsMax);
    this.#startedMs = new Float64Array(datagramsMax);
    this.#order = new Float64Array(datagramsMax);
    this.#total = new Int32Array(datagramsMax);
    this.#received = new Int32Array(datagramsMax);
    this.#farthest = new Int32Array(datagramsMax);
    this.#frontBytes = new Int32Array(datagramsMax);
    this.#units = new Int32Array(datagramsMax * WORDS_PER_DATAGRAM);
  }

  /** Datagrams that are held. */
  get count(): number {
    let count = 0;
    for (let slot = 0; slot < this.#max; slot++) if (this.#state[slot] !== FREE) count++;
    return count;
  }

  /**
   * Adds a fragment of the datagram in `probe`: `length` bytes of `view` at `at`, which belong at `offset`. The `frontBytes` (at most
   * `FRONT_BYTES`) at `frontAt` are kept when `offset` is 0. Returns the number of the datagram when it is complete (the caller takes
   * it out and calls `release`), or HELD, or INVALID.
   */
  add(
    view: DataView,
    at: number,
    length: number,
    offset: number,
    more: boolean,
    frontAt: number,
    frontBytes: number,
  ): number {
    if (length === 0 || offset + length > PAYLOAD_BYTES_MAX || (more && length % UNIT_BYTES !== 0)) return INVALID;
    const slot = this.#findOrOpen();
    if (this.#state[slot] === CONDEMNED) return INVALID;
    if (this.#contradictsEnd(slot, offset + length, more)) return this.#condemn(slot);
    const known = this.#countUnits(slot, offset, length);
    if (known > 0) {
      const whole = known === Math.ceil(length / UNIT_BYTES);
      const same = whole && equalBytes(view, at, this.payloads, this.payloadAt(slot) + offset, length);
      return same ? HELD : this.#condemn(slot);
    }
    this.#markUnits(slot, offset, length);
    copyBytes(view, at, this.payloads, this.payloadAt(slot) + offset, length);
    this.#received[slot] += length;
    this.#farthest[slot] = Math.max(this.#farthest[slot], offset + length);
    if (!more) this.#total[slot] = offset + length;
    if (offset === 0) {
      copyBytes(view, frontAt, this.fronts, this.frontAt(slot), frontBytes);
      this.#frontBytes[slot] = frontBytes;
    }
    return this.#received[slot] === this.#total[slot] ? slot : HELD;
  }

  payloadAt(datagram: number): number {
    return datagram * DATAGRAM_BYTES;
  }

  payloadBytes(datagram: number): number {
    return this.#total[datagram];
  }

  frontAt(datagram: number): number {
    return datagram * FRONT_BYTES;
  }

  frontBytes(datagram: number): number {
    return this.#frontBytes[datagram];
  }

  release(datagram: number): void {
    this.#state[datagram] = FREE;
  }

  /** Gives up what is too old. Call it at least once a second: the age of a datagram counts from the call before its first fragment. */
  expire(nowMs: number): void {
    this.#nowMs = nowMs;
    for (let slot = 0; slot < this.#max; slot++) {
      if (this.#state[slot] === FREE || nowMs - this.#startedMs[slot] < REASSEMBLY_TIMEOUT_MS) continue;
      if (this.#state[slot] === GATHERING) this.expired++;
      this.#state[slot] = FREE;
    }
  }

  #findOrOpen(): number {
    let free = -1;
    let oldest = 0;
    for (let slot = 0; slot < this.#max; slot++) {
      if (this.#state[slot] === FREE) free = slot;
      else if (this.#matches(slot)) return slot;
      else if (this.#order[slot] < this.#order[oldest]) oldest = slot;
    }
    if (free < 0) {
      this.evicted++;
      free = oldest;
    }
    this.#open(free);
    return free;
  }

  #matches(slot: number): boolean {
    const at = slot * KEY_WORDS;
    for (let word = KEY_WORDS - 1; word >= 0; word--) {
      if (this.#keys[at + word] !== this.probe[word]) return false;
    }
    return true;
  }

  #open(slot: number): void {
    for (let word = 0; word < KEY_WORDS; word++) this.#keys[slot * KEY_WORDS + word] = this.probe[word];
    this.#units.fill(0, slot * WORDS_PER_DATAGRAM, (slot + 1) * WORDS_PER_DATAGRAM);
    this.#state[slot] = GATHERING;
    this.#startedMs[slot] = this.#nowMs;
    this.#order[slot] = this.#opened++;
    this.#total[slot] = -1;
    this.#received[slot] = 0;
    this.#farthest[slot] = 0;
    this.#frontBytes[slot] = 0;
  }

  /** Two last fragments that disagree, or bytes behind the last one. */
  #contradictsEnd(slot: number, end: number, more: boolean): boolean {
    const total = this.#total[slot];
    if (more) return total >= 0 && end > total;
    return total >= 0 ? end !== total : end < this.#farthest[slot];
  }

  #condemn(slot: number): number {
    this.#state[slot] = CONDEMNED;
    this.overlapped++;
    return INVALID;
  }

  #countUnits(slot: number, offset: number, length: number): number {
    const last = (offset + length - 1) >>> 3;
    const base = slot * WORDS_PER_DATAGRAM;
    let known = 0;
    for (let unit = offset >>> 3; unit <= last; unit++) {
      known += (this.#units[base + (unit >>> 5)] >>> (unit & 31)) & 1;
    }
    return known;
  }

  #markUnits(slot: number, offset: number, length: number): void {
    const last = (offset + length - 1) >>> 3;
    const base = slot * WORDS_PER_DATAGRAM;
    for (let unit = offset >>> 3; unit <= last; unit++) this.#units[base + (unit >>> 5)] |= 1 << (unit & 31);
  }
}
