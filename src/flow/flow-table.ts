/**
 * The flow table: every conversation between a guest and the host, all protocols together, as rows of integer columns.
 *
 * A flow is a small integer. It has two sides, and a side is `flow * 2 + side`: exactly the token that the poll set carries back to us.
 * The *guest* side is who sits behind the link; the *host* side is the socket. `remote` is the address that the guest believes it
 * talks to; `target` is where the host's socket really goes (the same, unless policy mapped it).
 *
 * Life cycle, asserted at each step: free -> new (key set) -> targeted (policy has said where to) -> active -> free.
 * Between *new* and *targeted* stands one policy function for all protocols.
 *
 * Look-up is open addressing with linear probing over an Int32Array of flow numbers; removal shifts back, so there are no tombstones. The
 * hash is keyed with a secret, because the guest chooses addresses and ports. Freed numbers are reused first in, first out: an event that
 * was collected for a flow that has just ended does not meet its successor.
 *
 * Nothing is allocated after construction; a full table refuses (`insert` returns -1) and the caller counts it.
 */
import { assert } from '../base/assert.ts';
import { expandSecret, hashIpv4Key, hashKey } from './flow-hash.ts';
import { KEY_PORTS, KEY_REMOTE, KEY_WORDS } from './flow-key.ts';

export const SIDE = { GUEST: 0, HOST: 1 } as const;

export const FLOW_STATE = { FREE: 0, NEW: 1, TARGETED: 2, ACTIVE: 3 } as const;

/** How a flow ended, or stands. The names are what people and log files see. */
export const OUTCOME = {
  pending: 0,
  established: 1,
  refused: 2,
  unreachable: 3,
  timeout: 4,
  reset: 5,
  closed: 6,
  denied: 7,
  failed: 8,
  killed: 9,
} as const;
export const OUTCOME_NAMES: readonly string[] = Object.keys(OUTCOME);

/** Words of a target: address 0-3, port, scope id: a socket address (see `sys/sys.ts`). */
export const TARGET_WORDS = 6;

const NONE = -1;
/** The third word of an IPv4 address. */
const MAPPED = 0xffff;

export class FlowTable {
  readonly max: number;
  /** The key to look up or insert: the caller fills it. */
  readonly probe: Int32Array = new Int32Array(KEY_WORDS);
  /** Row-major: `KEY_WORDS` per flow. */
  readonly keys: Int32Array;
  /** Row-major: `TARGET_WORDS` per flow. */
  readonly targets: Int32Array;
  readonly state: Uint8Array;
  readonly outcome: Uint8Array;
  /** The side that opened the flow. */
  readonly origin: Uint8Array;
  /** The descriptor of the flow's own socket, -1: none (or shared). */
  readonly hostFd: Int32Array;
  /** The guest's MAC address. */
  readonly macHigh: Uint16Array;
  readonly macLow: Int32Array;
  /** What the guest sent (`Out`) and got (`In`): IP packets (segmentation offload counts as one), and payload bytes of the transport. */
  readonly packetsOut: Float64Array;
  readonly packetsIn: Float64Array;
  readonly bytesOut: Float64Array;
  readonly bytesIn: Float64Array;
  readonly openedUs: Float64Array;
  readonly activeUs: Float64Array;
  /** Round-trip time of the host side as last known, in microseconds; -1: not known. */
  readonly rttUs: Int32Array;
  /** A number that no other flow of this engine has. */
  readonly id: Float64Array;

  /** Open flows. */
  count: number = 0;
  /** Flows opened and refused for want of room, ever. */
  opened: number = 0;
  #lastId: number = 0;
  full: number = 0;

  readonly #slots: Int32Array;
  readonly #mask: number;
  readonly #hashes: Int32Array;
  readonly #free: Int32Array;
  #freeHead: number = 0;
  #freeCount: number;
  readonly #secrets: Int32Array;

  /** Room for `max` flows. `secret` keys the hash: an int32 that the guest can't guess. */
  constructor(max: number, secret: number) {
    this.max = max;
    this.keys = new Int32Array(max * KEY_WORDS);
    this.targets = new Int32Array(max * TARGET_WORDS);
    this.state = new Uint8Array(max);
    this.outcome = new Uint8Array(max);
    this.origin = new Uint8Array(max);
    this.hostFd = new Int32Array(max).fill(NONE);
    this.macHigh = new Uint16Array(max);
    this.macLow = new Int32Array(max);
    this.packetsOut = new Float64Array(max);
    this.packetsIn = new Float64Array(max);
    this.bytesOut = new Float64Array(max);
    this.bytesIn = new Float64Array(max);
    this.openedUs = new Float64Array(max);
    this.activeUs = new Float64Array(max);
    this.rttUs = new Int32Array(max);
    this.id = new Float64Array(max);
    let slots = 16;
    while (slots < max * 2) slots *= 2;
    this.#slots = new Int32Array(slots).fill(NONE);
    this.#mask = slots - 1;
    this.#hashes = new Int32Array(max);
    this.#free = new Int32Array(max);
    for (let flow = 0; flow < max; flow++) this.#free[flow] = flow;
    this.#freeCount = max;
    this.#secrets = expandSecret(secret);
  }

  /** Fills `probe`. Addresses are four int32 words; ports 0 to 65535. */
  setProbe(
    protocol: number,
    rxInterface: number,
    g0: number,
    g1: number,
    g2: number,
    g3: number,
    guestPort: number,
    r0: number,
    r1: number,
    r2: number,
    r3: number,
    remotePort: number,
  ): void {
    const probe = this.probe;
    probe[0] = protocol | (rxInterface << 8);
    probe[1] = g0;
    probe[2] = g1;
    probe[3] = g2;
    probe[4] = g3;
    probe[5] = r0;
    probe[6] = r1;
    probe[7] = r2;
    probe[8] = r3;
    probe[9] = (guestPort << 16) | remotePort;
  }

  /** The flow whose key is `probe`, or -1. */
  find(): number {
    const { probe, keys } = this;
    const hash = hashKey(probe, this.#secrets);
    const slots = this.#slots;
    const hashes = this.#hashes;
    const mask = this.#mask;
    let slot = hash & mask;
    for (;;) {
      const flow = slots[slot];
      if (flow === NONE) return NONE;
      if (hashes[flow] === hash) {
        const at = flow * KEY_WORDS;
        if (
          keys[at + 4] === probe[4] &&
          keys[at + 8] === probe[8] &&
          keys[at + 9] === probe[9] &&
          keys[at] === probe[0] &&
          keys[at + 3] === probe[3] &&
          keys[at + 7] === probe[7] &&
          keys[at + 1] === probe[1] &&
          keys[at + 2] === probe[2] &&
          keys[at + 5] === probe[5] &&
          keys[at + 6] === probe[6]
        ) {
          return flow;
        }
      }
      slot = (slot + 1) & mask;
    }
  }

  /** As `find`, for a key of two IPv4 addresses, which is given by the words that tell it from others. `probe` stays as it is. */
  findIpv4(first: number, guest: number, remote: number, ports: number): number {
    const { keys } = this;
    const hash = hashIpv4Key(first, guest, remote, ports, this.#secrets);
    const slots = this.#slots;
    const hashes = this.#hashes;
    const mask = this.#mask;
    let slot = hash & mask;
    for (;;) {
      const flow = slots[slot];
      if (flow === NONE) return NONE;
      if (hashes[flow] === hash) {
        const at = flow * KEY_WORDS;
        if (
          keys[at + 9] === ports &&
          keys[at + 8] === remote &&
          keys[at + 4] === guest &&
          keys[at] === first &&
          keys[at + 3] === MAPPED &&
          keys[at + 7] === MAPPED &&
          keys[at + 1] === 0 &&
          keys[at + 2] === 0 &&
          keys[at + 5] === 0 &&
          keys[at + 6] === 0
        ) {
          return flow;
        }
      }
      slot = (slot + 1) & mask;
    }
  }

  /**
   * Makes a flow with the key in `probe`, which must not be in the table, in state NEW with its target equal to its remote address, or returns -1 when the table
   * is full.
   */
  insert(origin: number, nowUs: number): number {
    if (this.#freeCount === 0) {
      this.full++;
      return NONE;
    }
    const flow = this.#free[this.#freeHead];
    this.#freeHead = this.#freeHead + 1 === this.max ? 0 : this.#freeHead + 1;
    this.#freeCount--;
    assert(this.state[flow] === FLOW_STATE.FREE, 'a flow on the free list is free');
    this.keys.set(this.probe, flow * KEY_WORDS);
    const hash = hashKey(this.probe, this.#secrets);
    this.#hashes[flow] = hash;
    let slot = hash & this.#mask;
    while (this.#slots[slot] !== NONE) slot = (slot + 1) & this.#mask;
    this.#slots[slot] = flow;
    this.#reset(flow, origin, nowUs);
    this.count++;
    this.opened++;
    return flow;
  }

  /** A number that no flow has, and none will: for what is a flow to people, and in no row here. */
  takeId(): number {
    return ++this.#lastId;
  }

  /** Policy has set the target: the host side may be opened. */
  setTargeted(flow: number): void {
    assert(this.state[flow] === FLOW_STATE.NEW, 'only a new flow is targeted');
    this.state[flow] = FLOW_STATE.TARGETED;
  }

  setActive(flow: number): void {
    assert(this.state[flow] === FLOW_STATE.TARGETED, 'only a targeted flow becomes active');
    this.state[flow] = FLOW_STATE.ACTIVE;
  }

  /** Takes a flow out. Its descriptor must have been closed. */
  remove(flow: number): void {
    assert(this.state[flow] !== FLOW_STATE.FREE, 'a free flow is not removed');
    assert(this.hostFd[flow] === NONE, 'a removed flow holds no descriptor');
    this.#unlink(flow);
    this.state[flow] = FLOW_STATE.FREE;
    let tail = this.#freeHead + this.#freeCount;
    if (tail >= this.max) tail -= this.max;
    this.#free[tail] = flow;
    this.#freeCount++;
    this.count--;
  }

  protocol(flow: number): number {
    return this.keys[flow * KEY_WORDS] & 0xff;
  }

  interfaceIndex(flow: number): number {
    return this.keys[flow * KEY_WORDS] >> 8;
  }

  guestPort(flow: number): number {
    return this.keys[flow * KEY_WORDS + KEY_PORTS] >>> 16;
  }

  remotePort(flow: number): number {
    return this.keys[flow * KEY_WORDS + KEY_PORTS] & 0xffff;
  }

  isIpv4(flow: number): boolean {
    const at = flow * KEY_WORDS + KEY_REMOTE;
    return this.keys[at] === 0 && this.keys[at + 1] === 0 && this.keys[at + 2] === 0xffff;
  }

  #reset(flow: number, origin: number, nowUs: number): void {
    const key = flow * KEY_WORDS;
    const target = flow * TARGET_WORDS;
    for (let word = 0; word < 4; word++) this.targets[target + word] = this.keys[key + KEY_REMOTE + word];
    this.targets[target + 4] = this.keys[key + KEY_PORTS] & 0xffff;
    this.targets[target + 5] = 0;
    this.state[flow] = FLOW_STATE.NEW;
    this.outcome[flow] = OUTCOME.pending;
    this.origin[flow] = origin;
    this.hostFd[flow] = NONE;
    this.macHigh[flow] = 0;
    this.macLow[flow] = 0;
    this.packetsOut[flow] = 0;
    this.packetsIn[flow] = 0;
    this.bytesOut[flow] = 0;
    this.bytesIn[flow] = 0;
    this.openedUs[flow] = nowUs;
    this.activeUs[flow] = nowUs;
    this.rttUs[flow] = NONE;
    this.id[flow] = this.takeId();
  }

  #unlink(flow: number): void {
    const slots = this.#slots;
    const mask = this.#mask;
    let hole = this.#hashes[flow] & mask;
    while (slots[hole] !== flow) hole = (hole + 1) & mask;
    // Shift back whatever would no longer be found across the hole.
    let slot = (hole + 1) & mask;
    while (slots[slot] !== NONE) {
      const home = this.#hashes[slots[slot]] & mask;
      if (((slot - home) & mask) >= ((slot - hole) & mask)) {
        slots[hole] = slots[slot];
        hole = slot;
      }
      slot = (slot + 1) & mask;
    }
    slots[hole] = NONE;
  }
}
