/**
 * The host sockets of datagram translation, as rows of columns; a row is a small integer.
 *
 * | kind     | who uses it                                              | found by                        | poll token       |
 * | -------- | -------------------------------------------------------- | ------------------------------- | ---------------- |
 * | SHARED   | all flows of one guest endpoint (address and port)       | protocol, interface, endpoint   | negative         |
 * | OWN      | one flow whose target is not its remote address          | `of[flow]`                      | `flow * 2 + 1`   |
 * | LISTENER | the flows of all callers of a published port             | `of[flow]`                      | negative         |
 * | RETIRED  | those flows, when the port is published no more          | `of[flow]`                      | negative         |
 *
 * A shared or retired socket is closed with its last flow. The table has a place for every flow, and grows by one for every published port, so it is never full;
 * descriptors may be.
 */
import { assert } from '../base/assert.ts';
import { grown } from '../base/column.ts';
import { DATAGRAM_LISTENERS_MAX } from '../base/limits.ts';
import { KEY_PORTS, KEY_REMOTE, KEY_WORDS } from '../flow/flow-key.ts';
import { type FlowTable, SIDE } from '../flow/flow-table.ts';
import type { PollHandler, TokenSpace } from '../flow/poll-handler.ts';
import { ERRNO } from '../sys/errno.ts';
import { POLL, POLL_OPERATION, type Sys } from '../sys/sys.ts';

export const SOCKET_KIND = { FREE: 0, SHARED: 1, OWN: 2, LISTENER: 3, RETIRED: 4 } as const;

/** Whether a kind of socket is, or was, a published port. */
export function isPublished(kind: number): boolean {
  return kind === SOCKET_KIND.LISTENER || kind === SOCKET_KIND.RETIRED;
}

/** Words of a guest endpoint: protocol | interface << 8, address, port (for echo: identifier). */
const ENDPOINT_WORDS = 6;
const NONE = -1;

/** UDP's largest payload over IPv4: no segment is larger. */
const SEGMENT_BYTES_MAX = 65_507;

/** Published ports that there is a place for at first. */
const LISTENERS_AT_FIRST = 64;

export class DatagramSockets {
  // Columns are replaced by longer ones when a port is published, and never by a packet.
  kind: Uint8Array;
  fd: Int32Array;
  /** The family of the socket, which is the target's and not always the guest's. */
  ipv4: Uint8Array;
  /** A raw socket in place of a ping socket. */
  raw: Uint8Array;
  /** The only flow of an OWN socket. */
  flow: Int32Array;
  /** The guest's MAC address, for flows that a stranger opens. */
  macHigh: Uint16Array;
  macLow: Int32Array;
  /** Datagrams up to this size may leave as segments of a larger one. */
  segmentMax: Int32Array;
  /** Row-major, `ENDPOINT_WORDS` each. */
  endpoints: Int32Array;
  /** The socket of each flow, -1: none. */
  readonly of: Int32Array;
  /** Open sockets. */
  count: number = 0;
  /** Columns of others, with a row for each socket, must have so many from now on. */
  onGrowth: (rows: number) => void = () => {};

  readonly #sys: Sys;
  readonly #poll: number;
  readonly #flows: FlowTable;
  readonly #tokens: TokenSpace;
  readonly #handler: PollHandler;
  #token: Int32Array;
  #references: Int32Array;
  #free: Int32Array;
  #freeCount: number;
  #listeners: number = 0;
  /** Published ports, and retired ones, by their descriptors. */
  readonly #byFd: Map<number, number> = new Map();
  /** Published ports that are not listened to for now. */
  readonly #paused: Set<number> = new Set();
  /** Chains of shared sockets by the hash of their endpoint. */
  readonly #buckets: Int32Array;
  #chain: Int32Array;
  readonly #byToken: Map<number, number> = new Map();

  /** `handler` is told when a shared or listening socket is ready. */
  constructor(sys: Sys, poll: number, flows: FlowTable, tokens: TokenSpace, handler: PollHandler) {
    const max = flows.max + LISTENERS_AT_FIRST;
    this.#sys = sys;
    this.#poll = poll;
    this.#flows = flows;
    this.#tokens = tokens;
    this.#handler = handler;
    this.kind = new Uint8Array(max);
    this.fd = new Int32Array(max).fill(NONE);
    this.ipv4 = new Uint8Array(max);
    this.raw = new Uint8Array(max);
    this.flow = new Int32Array(max);
    this.macHigh = new Uint16Array(max);
    this.macLow = new Int32Array(max);
    this.segmentMax = new Int32Array(max);
    this.endpoints = new Int32Array(max * ENDPOINT_WORDS);
    this.of = new Int32Array(flows.max).fill(NONE);
    this.#token = new Int32Array(max);
    this.#references = new Int32Array(max);
    this.#free = Int32Array.from({ length: max }, (_, i) => max - 1 - i);
    this.#freeCount = max;
    this.#buckets = new Int32Array(1 << Math.ceil(Math.log2(max))).fill(NONE);
    this.#chain = new Int32Array(max).fill(NONE);
  }

  /** The shared socket of this flow's guest endpoint, or -1. */
  findShared(flow: number): number {
    const { keys } = this.#flows;
    const key = flow * KEY_WORDS;
    let socket = this.#buckets[this.#bucket(keys, key)];
    while (socket !== NONE && !this.#isEndpoint(socket, keys, key)) socket = this.#chain[socket];
    return socket;
  }

  /** Takes over `fd` as the shared socket of this flow's endpoint. Returns it, or -errno (`fd` is closed then). */
  addShared(flow: number, fd: number, ipv4: boolean): number {
    const { keys, macHigh, macLow } = this.#flows;
    const key = flow * KEY_WORDS;
    const socket = this.#add(SOCKET_KIND.SHARED, fd, ipv4, this.#tokens.allocate(this.#handler));
    if (socket < 0) return socket;
    for (let word = 0; word < 5; word++) this.endpoints[socket * ENDPOINT_WORDS + word] = keys[key + word];
    this.endpoints[socket * ENDPOINT_WORDS + 5] = keys[key + KEY_PORTS] >>> 16;
    this.macHigh[socket] = macHigh[flow];
    this.macLow[socket] = macLow[flow];
    const bucket = this.#bucket(keys, key);
    this.#chain[socket] = this.#buckets[bucket];
    this.#buckets[bucket] = socket;
    return socket;
  }

  /** Takes over `fd` as the socket of this flow alone. Returns it, or -errno (`fd` is closed then). */
  addOwn(flow: number, fd: number, ipv4: boolean): number {
    const socket = this.#add(SOCKET_KIND.OWN, fd, ipv4, flow * 2 + SIDE.HOST);
    if (socket < 0) return socket;
    this.flow[socket] = flow;
    this.#flows.hostFd[flow] = fd;
    return socket;
  }

  /**
   * Takes over `fd` as a published port that leads to a guest endpoint. Returns it, or -errno (`fd` is closed then): ENOSPC when there
   * are too many.
   */
  addListener(
    protocol: number,
    interfaceIndex: number,
    guest: Int32Array,
    port: number,
    fd: number,
    ipv4: boolean,
  ): number {
    if (this.#listeners === DATAGRAM_LISTENERS_MAX) {
      this.#sys.close(fd);
      return -ERRNO.ENOSPC;
    }
    if (this.#flows.max + this.#listeners === this.kind.length) this.#grow();
    const socket = this.#add(SOCKET_KIND.LISTENER, fd, ipv4, this.#tokens.allocate(this.#handler));
    if (socket < 0) return socket;
    this.#listeners++;
    this.#byFd.set(fd, socket);
    const at = socket * ENDPOINT_WORDS;
    this.endpoints[at] = protocol | (interfaceIndex << 8);
    for (let word = 0; word < 4; word++) this.endpoints[at + 1 + word] = guest[word];
    this.endpoints[at + 5] = port;
    return socket;
  }

  /** Nobody new by this published port: its flows stay, and it is closed with the last of them. False: the descriptor is no published port. */
  retire(fd: number): boolean {
    const socket = this.#published(fd, SOCKET_KIND.LISTENER);
    if (socket === NONE) return false;
    this.resume(socket);
    this.#listeners--;
    this.kind[socket] = SOCKET_KIND.RETIRED;
    if (this.#references[socket] === 0) this.#close(socket);
    return true;
  }

  /** The socket of a descriptor that was retired and is open still, or -1. */
  findRetired(fd: number): number {
    return this.#published(fd, SOCKET_KIND.RETIRED);
  }

  /** What comes to a published port stays in its socket, and we are not told of it. */
  pause(socket: number): void {
    if (this.#paused.has(socket)) return;
    this.#paused.add(socket);
    this.#watch(socket, 0);
  }

  /** We are told again, of what has come in between too. */
  resume(socket: number): void {
    if (this.#paused.delete(socket)) this.#watch(socket, POLL.IN);
  }

  resumeAll(): void {
    if (this.#paused.size === 0) return;
    for (const socket of [...this.#paused]) this.resume(socket);
  }

  /** The socket that was polled with `token`, or -1. */
  byToken(token: number): number {
    return this.#byToken.get(token) ?? NONE;
  }

  /** The flow uses the socket from now on. */
  attach(flow: number, socket: number): void {
    this.of[flow] = socket;
    this.#references[socket]++;
  }

  /** The flow uses its socket no more; the socket is closed if nobody else does. */
  detach(flow: number): void {
    const socket = this.of[flow];
    if (socket === NONE) return;
    this.of[flow] = NONE;
    this.#references[socket]--;
    if (this.kind[socket] === SOCKET_KIND.OWN) this.#flows.hostFd[flow] = NONE;
    if (this.#references[socket] === 0 && this.kind[socket] !== SOCKET_KIND.LISTENER) this.#close(socket);
  }

  /** Closes all published ports; their flows must be gone. */
  closeListeners(): void {
    this.#paused.clear();
    for (let socket = 0; socket < this.kind.length; socket++) {
      if (this.kind[socket] === SOCKET_KIND.LISTENER) this.#close(socket);
    }
    this.#listeners = 0;
  }

  /** Fills the flow table's probe with the key of the flow between this socket's guest endpoint and a remote address and port. */
  setProbe(socket: number, remote: Int32Array, remoteAt: number, remotePort: number): void {
    const { probe } = this.#flows;
    const at = socket * ENDPOINT_WORDS;
    for (let word = 0; word < 5; word++) probe[word] = this.endpoints[at + word];
    for (let word = 0; word < 4; word++) probe[KEY_REMOTE + word] = remote[remoteAt + word];
    probe[KEY_PORTS] = (this.endpoints[at + 5] << 16) | remotePort;
  }

  interfaceIndex(socket: number): number {
    return this.endpoints[socket * ENDPOINT_WORDS] >> 8;
  }

  /** Where in `endpoints` the four words of the guest's address are. */
  guestAt(socket: number): number {
    return socket * ENDPOINT_WORDS + 1;
  }

  /** Whether the four words at `at` are the address of this socket's guest. */
  isGuest(socket: number, words: Int32Array, at: number): boolean {
    const guest = this.guestAt(socket);
    for (let word = 0; word < 4; word++) if (this.endpoints[guest + word] !== words[at + word]) return false;
    return true;
  }

  #add(kind: number, fd: number, ipv4: boolean, token: number): number {
    assert(this.#freeCount > 0, 'there is a place for the socket of every flow');
    const error = this.#sys.pollControl(this.#poll, POLL_OPERATION.ADD, fd, POLL.IN, token);
    if (error < 0) {
      this.#sys.close(fd);
      if (kind !== SOCKET_KIND.OWN) this.#tokens.release(token);
      return error;
    }
    const socket = this.#free[--this.#freeCount];
    this.kind[socket] = kind;
    this.fd[socket] = fd;
    this.ipv4[socket] = ipv4 ? 1 : 0;
    this.raw[socket] = 0;
    this.flow[socket] = NONE;
    this.segmentMax[socket] = SEGMENT_BYTES_MAX;
    this.#references[socket] = 0;
    this.#token[socket] = token;
    if (kind !== SOCKET_KIND.OWN) this.#byToken.set(token, socket);
    this.count++;
    return socket;
  }

  #published(fd: number, kind: number): number {
    const socket = this.#byFd.get(fd);
    return socket !== undefined && this.kind[socket] === kind ? socket : NONE;
  }

  /** Makes place for twice as many published ports. */
  #grow(): void {
    const rows = this.kind.length;
    const max = this.#flows.max + 2 * (rows - this.#flows.max);
    this.kind = grown(this.kind, new Uint8Array(max));
    this.fd = grown(this.fd, new Int32Array(max).fill(NONE));
    this.ipv4 = grown(this.ipv4, new Uint8Array(max));
    this.raw = grown(this.raw, new Uint8Array(max));
    this.flow = grown(this.flow, new Int32Array(max));
    this.macHigh = grown(this.macHigh, new Uint16Array(max));
    this.macLow = grown(this.macLow, new Int32Array(max));
    this.segmentMax = grown(this.segmentMax, new Int32Array(max));
    this.endpoints = grown(this.endpoints, new Int32Array(max * ENDPOINT_WORDS));
    this.#token = grown(this.#token, new Int32Array(max));
    this.#references = grown(this.#references, new Int32Array(max));
    this.#chain = grown(this.#chain, new Int32Array(max).fill(NONE));
    this.#free = grown(this.#free, new Int32Array(max));
    for (let socket = max - 1; socket >= rows; socket--) this.#free[this.#freeCount++] = socket;
    this.onGrowth(max);
  }

  #watch(socket: number, events: number): void {
    this.#sys.pollControl(this.#poll, POLL_OPERATION.MODIFY, this.fd[socket], events, this.#token[socket]);
  }

  #close(socket: number): void {
    if (this.kind[socket] === SOCKET_KIND.SHARED) this.#unchain(socket);
    if (isPublished(this.kind[socket])) this.#byFd.delete(this.fd[socket]);
    if (this.kind[socket] !== SOCKET_KIND.OWN) {
      this.#byToken.delete(this.#token[socket]);
      this.#tokens.release(this.#token[socket]);
    }
    this.#sys.close(this.fd[socket]);
    this.kind[socket] = SOCKET_KIND.FREE;
    this.fd[socket] = NONE;
    this.#free[this.#freeCount++] = socket;
    this.count--;
  }

  #unchain(socket: number): void {
    const bucket = this.#hash(this.endpoints, socket * ENDPOINT_WORDS, this.endpoints[socket * ENDPOINT_WORDS + 5]);
    let at = this.#buckets[bucket];
    if (at === socket) {
      this.#buckets[bucket] = this.#chain[socket];
      return;
    }
    while (this.#chain[at] !== socket) at = this.#chain[at];
    this.#chain[at] = this.#chain[socket];
  }

  #isEndpoint(socket: number, keys: Int32Array, key: number): boolean {
    const at = socket * ENDPOINT_WORDS;
    for (let word = 0; word < 5; word++) if (this.endpoints[at + word] !== keys[key + word]) return false;
    return this.endpoints[at + 5] === keys[key + KEY_PORTS] >>> 16;
  }

  #bucket(keys: Int32Array, key: number): number {
    return this.#hash(keys, key, keys[key + KEY_PORTS] >>> 16);
  }

  /**
   * Only looked at when a flow opens, and the guest knows its own endpoints anyway: no secret is needed for a chain bounded by its
   * ports.
   */
  #hash(words: Int32Array, at: number, port: number): number {
    let hash = port;
    for (let word = 0; word < 5; word++) {
      hash = Math.imul(hash ^ words[at + word], 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    return hash & (this.#buckets.length - 1);
  }
}
