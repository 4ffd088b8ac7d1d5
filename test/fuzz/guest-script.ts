/**
 * The guest's side of one TCP flow for the target `tcp-flow`: sends whatever the script says, and judges what comes back, in sequence space.
 *
 * Content is a function of the position in the stream, in both directions; so any byte that arrives can be judged by where it arrived, whatever was repeated, cut, overlapped or reordered.
 * Positions count from 0, the first byte behind the SYN.
 */
import assert from 'node:assert/strict';
import type { SimulatedPeer } from '#tapster/sys/simulated/peer.js';
import * as ethernet from '#tapster/wire/ethernet.js';
import * as ipv4 from '#tapster/wire/ipv4.js';
import * as tcp from '#tapster/wire/tcp.js';
import { GUEST4, REMOTE4, VNET_BYTES } from './frames.ts';

export const PORT = 90;
const GUEST_PORT = 4000;
const NETWORK = VNET_BYTES + ethernet.HEADER_BYTES;
const TRANSPORT = NETWORK + ipv4.HEADER_BYTES;
const PAYLOAD_BYTES_MAX = 8000;

interface Range {
  from: number;
  to: number;
}

export class GuestScript {
  /** Sequence number of our SYN. */
  readonly isn: number;
  /** Where we stand: the position behind what was sent in order, and behind what came in order. */
  next: number = 0;
  expected: number = 0;
  window: number = 0xffff;
  /** Whether the SYN was answered. */
  established: boolean = false;
  /** Bytes that the far end has sent, and whether it ended there. */
  hostSent: number = 0;
  hostEnded: boolean = false;
  /** What was acknowledged to us, as a position; a FIN counts one. */
  acknowledged: number = 0;
  #iss: number = 0;
  /** Sizes of the window fields: what we said in our SYN. */
  #scale: number = 0;
  /** Rightmost byte that we ever said there was room for, and that we ever spoke of. */
  #edge: number = 0;
  #farthest: number = 0;
  readonly #sent: Range[] = [];
  readonly #ends: Set<number> = new Set();
  /** Counted for the SYN: the window in it is not scaled. */
  #synWindow: number = 0;
  #hasBegun: boolean = false;

  constructor(isn: number) {
    this.isn = isn;
  }

  syn(mss: number, scale: number): Uint8Array {
    // The first SYN is the one that counts: the others are repeated, or meet an open flow.
    if (!this.#hasBegun) {
      this.#hasBegun = true;
      this.#scale = Math.min(14, Math.max(0, scale));
      this.#synWindow = this.window;
    }
    return this.#write(tcp.SYN, -1, 0, 0, tcp.synOptionsBytes(scale), (view) => {
      tcp.writeSynOptions(view, TRANSPORT, mss, scale);
    });
  }

  /** A segment whose first byte is at `position`, which acknowledges all up to `acknowledges`. */
  segment(flags: number, position: number, acknowledges: number, bytes: number): Uint8Array {
    const length = Math.min(bytes, PAYLOAD_BYTES_MAX);
    const from = Math.max(0, position);
    if (position + length > from) this.#note({ from, to: position + length });
    if ((flags & tcp.FIN) !== 0) this.#ends.add(position + length);
    this.#farthest = Math.max(this.#farthest, position + length + ((flags & tcp.FIN) !== 0 ? 1 : 0));
    if ((flags & tcp.ACK) !== 0) {
      this.#edge = Math.max(this.#edge, acknowledges + this.window * 2 ** this.#scale);
    }
    return this.#write(flags, position, acknowledges, length);
  }

  /** Judges a frame of the engine. */
  receive(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (bytes.length < TRANSPORT + tcp.HEADER_BYTES || ipv4.protocol(view, NETWORK) !== tcp.PROTOCOL) return;
    const flags = tcp.flags(view, TRANSPORT);
    if ((flags & tcp.RST) !== 0) return;
    if ((flags & tcp.SYN) !== 0) this.#answered(view);
    if (!this.established) return;
    if ((flags & tcp.ACK) !== 0) this.#judgeAcknowledgment((tcp.acknowledgment(view, TRANSPORT) - this.isn - 1) | 0);
    if ((flags & tcp.SYN) === 0) this.#judgePayload(view, flags);
  }

  /** Judges what the far end has got by now. `exact`: it reads all at once, so it must have all that was acknowledged. */
  judgeHost(peer: SimulatedPeer, exact: boolean): void {
    const { received } = peer;
    for (let at = 0; at < received.length; at++) {
      if (received[at] !== guestByte(at)) assert.fail(`the host got a wrong byte at ${at}`);
    }
    assert.ok(received.length <= this.#contiguous(), 'the host got no more than was sent without a gap');
    if (peer.sawEnd) assert.ok(this.#ends.has(received.length), 'the host saw an end where the guest had none');
    const bytes = this.acknowledged - (this.#ends.has(received.length) ? 1 : 0);
    if (exact && peer.state === 'connected')
      assert.ok(received.length >= bytes, 'what was acknowledged is with the host');
  }

  #answered(view: DataView): void {
    const iss = tcp.sequence(view, TRANSPORT);
    if (this.established) assert.equal(iss, this.#iss, 'a SYN-ACK repeats its number');
    this.established = true;
    this.#iss = iss;
    this.#edge = Math.max(this.#edge, this.#synWindow);
  }

  #judgeAcknowledgment(position: number): void {
    const most = Math.max(0, this.#farthest);
    assert.ok(position >= 0 && position <= most, `${position} is acknowledged, ${most} was sent`);
    this.acknowledged = Math.max(this.acknowledged, position);
  }

  #judgePayload(view: DataView, flags: number): void {
    const position = (tcp.sequence(view, TRANSPORT) - this.#iss - 1) | 0;
    const at = TRANSPORT + tcp.dataOffset(view, TRANSPORT);
    const length = view.byteLength - at;
    for (let i = 0; i < length; i++) {
      if (view.getUint8(at + i) !== hostByte(position + i))
        assert.fail(`the guest got a wrong byte at ${position + i}`);
    }
    assert.ok(length === 0 || position + length <= this.hostSent, 'the guest got no more than the host sent');
    assert.ok(length === 0 || position + length <= this.#edge, 'the guest got no more than it had room for');
    if (position === this.expected) this.expected += length;
    if ((flags & tcp.FIN) === 0) return;
    assert.ok(this.hostEnded, 'a FIN is the end that the host made');
    assert.equal(position + length, this.hostSent, 'a FIN stands behind the last byte');
  }

  /** Up to where bytes were sent without a gap. */
  #contiguous(): number {
    let reached = 0;
    for (const { from, to } of this.#sent.toSorted((a, b) => a.from - b.from)) {
      if (from <= reached) reached = Math.max(reached, to);
    }
    return reached;
  }

  #note(range: Range): void {
    this.#sent.push(range);
  }

  #write(
    flags: number,
    position: number,
    acknowledges: number,
    bytes: number,
    optionBytes: number = 0,
    options: (view: DataView) => void = () => {},
  ): Uint8Array {
    const headerBytes = tcp.HEADER_BYTES + optionBytes;
    const frame = new Uint8Array(TRANSPORT + headerBytes + bytes);
    const view = new DataView(frame.buffer);
    ethernet.writeHeader(view, VNET_BYTES, 0x0200, 2, 0x0200, 1, ethernet.TYPE_IPV4);
    const total = frame.length - NETWORK;
    ipv4.writeHeader(view, NETWORK, total, tcp.PROTOCOL, GUEST4, REMOTE4, 64, 0, 0, ipv4.DONT_FRAGMENT);
    const sequence = (this.isn + 1 + position) | 0;
    const acknowledgment = (flags & tcp.ACK) !== 0 ? (this.#iss + 1 + acknowledges) | 0 : 0;
    tcp.writeHeader(view, TRANSPORT, GUEST_PORT, PORT, sequence, acknowledgment, headerBytes, flags, this.window);
    options(view);
    for (let i = 0; i < bytes; i++) frame[TRANSPORT + headerBytes + i] = guestByte(position + i);
    tcp.writeChecksum(view, NETWORK, TRANSPORT, frame.length);
    return frame;
  }
}

/** What the far end sends next. */
export function hostBytes(from: number, count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, i) => hostByte(from + i));
}

function guestByte(position: number): number {
  return (Math.imul(position, 0x9e37_79b1) >>> 24) & 0xff;
}

function hostByte(position: number): number {
  return (Math.imul(position + 77, 0x85eb_ca6b) >>> 24) & 0xff;
}
