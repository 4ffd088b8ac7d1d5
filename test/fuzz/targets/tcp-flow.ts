/**
 * A sequence of segments against one TCP flow, with time, faults of the host and deeds of the far end between them. A part of an input is 8 bytes: what it is, and what that needs.
 *
 * Whatever the guest sends, what the host gets is what was sent there, from the start and without a gap; what the guest gets likewise; both ends are where the other side made them;
 * what was acknowledged is not lost; and when the guest falls silent, nothing is left in the end.
 */
import type { Random } from '#tapster/base/random.js';
import type { SimulatedPeer } from '#tapster/sys/simulated/peer.js';
import * as tcp from '#tapster/wire/tcp.js';
import { pick } from '../frames.ts';
import { GuestScript, hostBytes, PORT } from '../guest-script.ts';
import { Rig } from '../rig.ts';
import { concatenate, type FuzzTarget, splitBySize } from '../target.ts';

const PART_BYTES = 8;
const HOST_BYTES_MAX = 300_000;
const SERVER = '198.51.100.7';
const ISNS: readonly number[] = [0, 0x7fff_ff00, -256];

const STEP = {
  SYN: 0,
  ACK: 1,
  DATA: 2,
  AHEAD: 3,
  BEHIND: 4,
  FIN: 5,
  RST: 6,
  ANY: 7,
  WINDOW: 8,
  TURN: 9,
  WAIT: 10,
  DEED: 11,
  FAULTS: 12,
  SERVED: 13,
} as const;
const STEPS = 14;

const LIKELY: readonly number[] = [
  ...[STEP.ACK, STEP.ACK, STEP.DATA, STEP.DATA, STEP.DATA, STEP.AHEAD, STEP.AHEAD, STEP.BEHIND, STEP.FIN, STEP.ANY],
  ...[STEP.WINDOW, STEP.TURN, STEP.TURN, STEP.TURN, STEP.WAIT, STEP.DEED, STEP.DEED, STEP.DEED, STEP.SERVED],
];
const RARE: readonly number[] = [STEP.SYN, STEP.RST, STEP.FAULTS];

export const tcpFlowTarget: FuzzTarget = {
  name: 'tcp-flow',
  about: 'segments against a flow: each byte once, in order, up to an end that somebody made; nothing left behind',
  bytesMax: PART_BYTES * 120,
  millisecondsMax: 3000,
  generate: (random) => {
    const parts = [step(random, STEP.SYN), step(random, STEP.TURN), step(random, STEP.ACK)];
    for (let count = random.below(60); count > 0; count--) {
      parts.push(step(random, random.chance(0.06) ? pick(random, RARE) : pick(random, LIKELY)));
    }
    return concatenate(parts);
  },
  split: (input) => splitBySize(input, PART_BYTES),
  join: concatenate,
  run: (input) => new Play(input).run(),
};

function step(random: Random, kind: number): Uint8Array {
  const bytes = random.fill(new Uint8Array(PART_BYTES));
  bytes[0] = kind;
  // Small lengths and distances meet more often than large ones.
  if (random.chance(0.6)) bytes[1] = 0;
  if (random.chance(0.6)) bytes[3] = 0;
  return bytes;
}

class Play {
  readonly #input: Uint8Array;
  readonly #rig: Rig;
  #guest: GuestScript;
  /** What the far end does is what it did at first: it reads all at once, and no call fails. */
  #exact: boolean = true;

  constructor(input: Uint8Array) {
    this.#input = input;
    this.#rig = new Rig({ peekOffset: (input[7]! & 1) === 0, offload: (input[7]! & 2) === 0 });
    this.#guest = new GuestScript(ISNS[(input[6] ?? 0) % ISNS.length]!);
    this.#rig.sys.network.stream(SERVER, PORT, {});
    this.#rig.onFrame = (frame) => this.#guest.receive(frame);
  }

  run(): void {
    for (const part of splitBySize(this.#input, PART_BYTES)) {
      const full = new Uint8Array(PART_BYTES);
      full.set(part);
      this.#step(new DataView(full.buffer));
    }
    this.#settle();
    this.#rig.check();
    this.#rig.onFrame = () => {};
    this.#rig.finish((this.#input[7]! & 12) === 0);
    this.#judge(false);
  }

  get #peer(): SimulatedPeer | undefined {
    return this.#rig.sys.network.peers.at(-1);
  }

  #step(part: DataView): void {
    const guest = this.#guest;
    const kind = part.getUint8(0) % STEPS;
    const bytes = part.getUint16(1) % 3000;
    const far = part.getInt16(3);
    switch (kind) {
      case STEP.SYN:
        this.#syn(part);
        break;
      case STEP.ACK:
        this.#send(guest.segment(tcp.ACK, guest.next, guest.expected, 0));
        break;
      case STEP.DATA:
        this.#inOrder(bytes, 0);
        break;
      case STEP.AHEAD:
        this.#send(guest.segment(tcp.ACK, guest.next + Math.abs(far), guest.expected, bytes));
        break;
      case STEP.BEHIND:
        this.#send(guest.segment(tcp.ACK, Math.max(0, guest.next - Math.abs(far)), guest.expected, bytes));
        break;
      case STEP.FIN:
        this.#inOrder(bytes % 100, tcp.FIN);
        break;
      case STEP.RST:
        this.#send(guest.segment(tcp.RST, part.getUint8(5) < 100 ? guest.next : guest.next + far, 0, 0));
        break;
      case STEP.ANY:
        this.#any(part.getUint8(5), far, part.getInt16(6), bytes);
        break;
      case STEP.WINDOW:
        guest.window = part.getUint8(5) < 60 ? 0 : part.getUint16(3);
        this.#send(guest.segment(tcp.ACK, guest.next, guest.expected, 0));
        break;
      case STEP.WAIT:
        this.#settle();
        this.#rig.wait(1000 * 2 ** (part.getUint8(5) % 20));
        this.#judge(this.#exact);
        break;
      case STEP.DEED:
        this.#deed(part.getUint8(5), part.getUint16(3));
        break;
      case STEP.FAULTS:
        this.#faults(part.getUint8(5), part.getUint8(6));
        break;
      case STEP.SERVED:
        this.#settle();
        this.#send(guest.segment(tcp.ACK, guest.next, guest.expected, 0));
        break;
      default:
        this.#settle();
        break;
    }
  }

  /** A first SYN, or another one; where no flow is left, all begins anew. */
  #syn(part: DataView): void {
    this.#settle();
    if (this.#rig.engine.flows.count === 0 && this.#rig.sys.network.peers.length > 0) {
      this.#judge(false);
      this.#guest = new GuestScript(ISNS[part.getUint8(6) % ISNS.length]!);
    }
    // The edge of the window never moves back: only a guest that begins with a small one sees who goes beyond it.
    if (!this.#guest.established && (part.getUint8(7) & 128) !== 0) this.#guest.window = part.getUint16(1) % 2000;
    const scale = part.getUint8(5) < 128 ? 0 : part.getUint8(5) % 17;
    this.#send(this.#guest.syn(part.getUint16(3), scale - 1));
    this.#settle();
  }

  #inOrder(bytes: number, flags: number): void {
    const guest = this.#guest;
    this.#send(guest.segment(tcp.ACK | flags, guest.next, guest.expected, bytes));
    guest.next += bytes + (flags === tcp.FIN ? 1 : 0);
  }

  /** Any flags, any numbers near; but a SYN alone may begin a flow, of which the script must know. */
  #any(flags: number, far: number, acknowledges: number, bytes: number): void {
    if ((flags & (tcp.SYN | tcp.ACK | tcp.RST)) === tcp.SYN) return;
    const guest = this.#guest;
    const position = guest.next + (far >> 4);
    const payload = position < 0 || (flags & (tcp.SYN | tcp.RST)) !== 0 ? 0 : bytes;
    const end = position < 0 ? flags & ~tcp.FIN : flags;
    this.#send(guest.segment(end, position, guest.expected + (acknowledges >> 4), payload));
  }

  #deed(deed: number, size: number): void {
    this.#settle();
    const peer = this.#peer;
    if (peer === undefined || peer.state !== 'connected') return;
    const guest = this.#guest;
    switch (deed % 10) {
      case 0:
        peer.reset();
        break;
      case 1:
        guest.hostEnded = true;
        peer.end();
        break;
      case 2:
        guest.hostEnded = true;
        peer.close();
        break;
      case 3:
        this.#exact = false;
        peer.setReading('manual');
        break;
      case 4:
        peer.setReading('fast');
        break;
      case 5:
        peer.read(size);
        break;
      default: {
        if (guest.hostEnded || guest.hostSent + size > HOST_BYTES_MAX) return;
        peer.send(hostBytes(guest.hostSent, size));
        guest.hostSent += size;
      }
    }
  }

  #faults(sends: number, reads: number): void {
    this.#settle();
    this.#exact = false;
    const often = (nibble: number): number => (nibble & 15) / 30;
    this.#rig.sys.faults.plan = {
      sendVector: { short: often(sends), again: often(sends >> 4), noBuffers: often(sends >> 5) },
      peek: { short: often(reads), again: often(reads >> 4) },
      discard: { short: often(reads) },
    };
  }

  #send(frame: Uint8Array): void {
    this.#rig.device.send(frame);
  }

  #settle(): void {
    this.#rig.settle();
    this.#judge(this.#exact);
  }

  #judge(exact: boolean): void {
    const peer = this.#peer;
    if (peer !== undefined) this.#guest.judgeHost(peer, exact);
  }
}
