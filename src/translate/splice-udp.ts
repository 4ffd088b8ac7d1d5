/**
 * Datagrams between the loopback interfaces of host and namespace, without a TAP: what comes to a bound socket goes on from a socket in the other namespace, and
 * what comes back there is answered from the bound one.
 *
 * Each sender (listener, address and port) has a socket of its own, connected with the target, so that answers say whose they are:
 *
 *     sender  ->  bound socket, of all  ->  the sender's socket  ->  target
 *     sender  <-  bound socket, of all  <-  the sender's socket  <-  target
 *
 * - *Batches.* One recvmmsg(2) reads up to `BATCH_MAX` datagrams of any size; those of one sender that follow each other go on by one sendmmsg(2), and all
 *   answers of a batch do. What was sent as segments of one (UDP_SEGMENT) is received as one (UDP_GRO) and sent on as such.
 * - *Loss* is what a full socket makes of it, as between two sockets of one host. Nothing is kept here between two turns.
 * - *Errors.* That nobody listens at the target (ICMP port unreachable) is counted; the sender can't be told by a socket that many share.
 * - *Time.* A sender is forgotten when nothing came from either side for `SILENT_MS`, or `ANSWERED_MS` where the target has answered: RFC 4787,
 *   section 4.3, asks for two minutes where there is a conversation.
 * - *Bounds.* `SPLICE_SENDERS_MAX`; then the one who is silent for longest makes place. The hash is keyed: who chooses ports can't make a chain long.
 *
 * The bound socket must have an address, for the answers come from the one that the kernel chooses otherwise.
 */
import { isIpv4Words } from '../base/address.ts';
import { expandSecrets, finalized, product } from '../base/keyed-hash.ts';
import { SPLICE_SENDERS_MAX } from '../base/limits.ts';
import { OUTCOME } from '../flow/flow-table.ts';
import type { PollHandler } from '../flow/poll-handler.ts';
import { ERRNO } from '../sys/errno.ts';
import { SOL, UDP } from '../sys/options.ts';
import { DATAGRAM_WORDS, POLL, POLL_OPERATION, SOCKET_ADDRESS_WORDS, SOCKET_FAMILY, SOCKET_TYPE } from '../sys/sys.ts';
import { NumberedHandler, type NumberedReceiver, type SpliceDeps, type SpliceListener } from './splice-deps.ts';
import type { Spliced, SpliceObserver, SpliceView } from './splice-view.ts';

/** Datagrams of one call. Each has room for the largest that there is. */
const BATCH_MAX = 32;
const DATAGRAM_BYTES_MAX = 65_536;

const SILENT_MS = 30_000;
const ANSWERED_MS = 120_000;

/** The words of a datagram's record that we look at: see `DATAGRAM_WORDS`. */
const RECORD = { LENGTH: 1, HOPS: 3, TRAFFIC_CLASS: 4, ADDRESS: 6 } as const;
/** Of a sender's key: the address and port, and the number of the listener. */
const KEY_WORDS = 6;
const KEY_LISTENER = 5;

const NONE = -1;

export interface SpliceUdpOptions {
  readonly sendersMax?: number;
  /** 32 random bits. */
  readonly random: () => number;
}

/** Since the beginning. */
export interface SpliceUdpCounters {
  /** Senders that there have been. */
  senders: number;
  /** Of these, those that made place for another. */
  displaced: number;
  /** Datagrams, segments of one counted as one, from senders to targets, and back. */
  datagramsToTargets: number;
  datagramsToSenders: number;
  bytesToTargets: number;
  bytesToSenders: number;
  /** Datagrams that a socket did not take. */
  dropped: number;
  /** How often it was said that nobody listens at a target. */
  refused: number;
}

interface Listener extends SpliceListener {
  readonly number: number;
  readonly token: number;
}

export class SpliceUdp implements PollHandler, NumberedReceiver, Spliced {
  readonly counters: SpliceUdpCounters = {
    senders: 0,
    displaced: 0,
    datagramsToTargets: 0,
    datagramsToSenders: 0,
    bytesToTargets: 0,
    bytesToSenders: 0,
    dropped: 0,
    refused: 0,
  };
  /** Senders that there are. */
  count: number = 0;
  /** Hears of each sender. */
  observer: SpliceObserver | undefined = undefined;

  readonly #deps: SpliceDeps;
  readonly #max: number;
  readonly #byToken: Map<number, Listener> = new Map();
  readonly #byFd: Map<number, Listener> = new Map();
  /** By number: a number is another listener's as soon as its own is gone. */
  readonly #listeners: (Listener | undefined)[] = [];
  readonly #freeNumbers: number[] = [];
  readonly #memory: number;
  readonly #records: Int32Array = new Int32Array(BATCH_MAX * DATAGRAM_WORDS);
  readonly #recordMemory: number;
  readonly #address: Int32Array = new Int32Array(SOCKET_ADDRESS_WORDS);
  readonly #secrets: Int32Array;
  /** Chains of senders by the hash of their keys. */
  readonly #buckets: Int32Array;
  readonly #chain: Int32Array;
  // By sender.
  readonly #keys: Int32Array;
  readonly #scope: Int32Array;
  readonly #fd: Int32Array;
  readonly #token: Int32Array;
  /** OUTCOME: pending, refused once somebody said so, established once the target has answered. */
  readonly #outcome: Uint8Array;
  /** To the target, and back: two for each sender. */
  readonly #moved: Float64Array;
  readonly #activeUs: Float64Array;
  readonly #free: Int32Array;
  #freeCount: number;
  #sentBytes: number = 0;
  #closed: boolean = false;

  constructor(deps: SpliceDeps, options: SpliceUdpOptions) {
    const max = options.sendersMax ?? SPLICE_SENDERS_MAX;
    this.#deps = deps;
    this.#max = max;
    this.#memory = deps.sys.register(new Uint8Array(BATCH_MAX * DATAGRAM_BYTES_MAX));
    this.#recordMemory = deps.sys.register(this.#records);
    this.#secrets = expandSecrets(options.random() | 0, 2 * KEY_WORDS);
    this.#buckets = new Int32Array(1 << Math.ceil(Math.log2(max))).fill(NONE);
    this.#chain = new Int32Array(max).fill(NONE);
    this.#keys = new Int32Array(max * KEY_WORDS);
    this.#scope = new Int32Array(max);
    this.#fd = new Int32Array(max).fill(NONE);
    this.#token = new Int32Array(max);
    this.#outcome = new Uint8Array(max);
    this.#moved = new Float64Array(2 * max);
    this.#activeUs = new Float64Array(max);
    this.#free = Int32Array.from({ length: max }, (_, i) => max - 1 - i);
    this.#freeCount = max;
  }

  /** Takes over a bound socket. Returns 0 or -errno; then it is the caller's still. */
  add(listener: SpliceListener): number {
    const { sys, poll, tokens } = this.#deps;
    const token = tokens.allocate(this);
    const error = sys.pollControl(poll, POLL_OPERATION.ADD, listener.fd, POLL.IN, token);
    if (error < 0) {
      tokens.release(token);
      return error;
    }
    // Where the kernel can't, datagrams come one by one.
    sys.setOption(listener.fd, SOL.UDP, UDP.GRO, 1);
    const number = this.#freeNumbers.pop() ?? this.#listeners.length;
    const { fd, target, port } = listener;
    const added: Listener = { fd, target, port, number, token };
    this.#listeners[number] = added;
    this.#byToken.set(token, added);
    this.#byFd.set(fd, added);
    return 0;
  }

  /** Closes a bound socket and forgets its senders. False: it is none of ours. */
  remove(fd: number): boolean {
    const listener = this.#byFd.get(fd);
    if (listener === undefined) return false;
    for (let sender = 0; sender < this.#max && this.count > 0; sender++) {
      if (this.#fd[sender] !== NONE && this.#keys[sender * KEY_WORDS + KEY_LISTENER] === listener.number)
        this.#forget(sender, OUTCOME.killed);
    }
    this.#byFd.delete(fd);
    this.#byToken.delete(listener.token);
    this.#listeners[listener.number] = undefined;
    this.#freeNumbers.push(listener.number);
    this.#deps.tokens.release(listener.token);
    this.#deps.sys.close(fd);
    return true;
  }

  /** A bound socket is ready. */
  ready(_events: number, token: number): void {
    const listener = this.#byToken.get(token);
    if (listener === undefined) return;
    const count = this.#receive(listener.fd);
    for (let first = 0; first < count; ) first = this.#sendOn(listener, first, count);
  }

  /** The socket of a sender is ready. */
  numberReady(sender: number): void {
    if (this.#fd[sender] === NONE) return;
    const count = this.#receive(this.#fd[sender]);
    if (count === -ERRNO.ECONNREFUSED) this.#noteRefusal(sender);
    if (count <= 0) return;
    const at = sender * KEY_WORDS;
    for (let i = 0; i < count; i++) this.#redirect(i, this.#keys, at, this.#keys[at + 4], this.#scope[sender]);
    this.#activeUs[sender] = this.#deps.clock.nowUs;
    if (this.#outcome[sender] !== OUTCOME.established) {
      this.#outcome[sender] = OUTCOME.established;
      this.observer?.connected(sender);
    }
    const sent = this.#send(this.#listeners[this.#keys[at + KEY_LISTENER]]!.fd, 0, count);
    this.counters.datagramsToSenders += sent;
    this.counters.bytesToSenders += this.#sentBytes;
    this.#moved[2 * sender + 1] += this.#sentBytes;
  }

  /** Forgets who has been silent. To be called about every second. */
  housekeep(): void {
    if (this.count === 0) return;
    const { nowUs } = this.#deps.clock;
    for (let sender = 0; sender < this.#max; sender++) {
      const silentMs = this.#outcome[sender] === OUTCOME.established ? ANSWERED_MS : SILENT_MS;
      const isSilent = this.#activeUs[sender] + silentMs * 1000 <= nowUs;
      if (this.#fd[sender] !== NONE && isSilent) this.#forget(sender, OUTCOME.timeout);
    }
  }

  /** One that is there, by his number. */
  connection(sender: number): SpliceView {
    const at = sender * KEY_WORDS;
    const caller = new Int32Array(SOCKET_ADDRESS_WORDS);
    caller.set(this.#keys.subarray(at, at + KEY_LISTENER));
    const called = new Int32Array(SOCKET_ADDRESS_WORDS);
    this.#deps.sys.localAddress(this.#listeners[this.#keys[at + KEY_LISTENER]]!.fd, called);
    return { caller, called, bytesToTarget: this.#moved[2 * sender], bytesToCaller: this.#moved[2 * sender + 1] };
  }

  closeAll(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const fd of [...this.#byFd.keys()]) this.remove(fd);
    for (const token of this.#token) if (token !== 0) this.#deps.tokens.release(token);
    this.#token.fill(0);
    this.#deps.sys.unregister(this.#memory);
    this.#deps.sys.unregister(this.#recordMemory);
  }

  #receive(fd: number): number {
    const end = BATCH_MAX * DATAGRAM_BYTES_MAX;
    const { sys } = this.#deps;
    const max = BATCH_MAX;
    const count = sys.receiveDatagrams(fd, this.#memory, 0, end, 0, DATAGRAM_BYTES_MAX, this.#recordMemory, 0, max);
    if (count === -ERRNO.ECONNREFUSED) this.counters.refused++;
    return count;
  }

  /** Sends the datagrams from record `first` on that are of the same sender. Returns the record behind them. */
  #sendOn(listener: Listener, first: number, count: number): number {
    const from = first * DATAGRAM_WORDS + RECORD.ADDRESS;
    let behind = first + 1;
    while (behind < count && this.#isSameAddress(from, behind * DATAGRAM_WORDS + RECORD.ADDRESS)) behind++;
    const sender = this.#senderOf(listener, from);
    if (sender === NONE) {
      this.counters.dropped += behind - first;
      return behind;
    }
    this.#activeUs[sender] = this.#deps.clock.nowUs;
    for (let i = first; i < behind; i++) this.#redirect(i, listener.target.address, 0, listener.port, 0);
    const sent = this.#send(this.#fd[sender], first, behind);
    this.counters.datagramsToTargets += sent;
    this.counters.bytesToTargets += this.#sentBytes;
    this.#moved[2 * sender] += this.#sentBytes;
    return behind;
  }

  /** Returns how many were taken, with their bytes in `#sentBytes`; others are dropped. */
  #send(fd: number, first: number, behind: number): number {
    let sent = 0;
    let refusals = 0;
    this.#sentBytes = 0;
    for (let next = first; next < behind; ) {
      const count = behind - next;
      const taken = this.#deps.sys.sendDatagrams(fd, this.#memory, this.#recordMemory, next * DATAGRAM_WORDS, count);
      if (taken > 0) {
        sent += taken;
        for (const end = next + taken; next < end; next++) {
          this.#sentBytes += this.#records[next * DATAGRAM_WORDS + RECORD.LENGTH];
        }
      } else if (taken === -ERRNO.ECONNREFUSED && refusals++ === 0) {
        // That is said of an earlier one, instead of sending this one.
        this.counters.refused++;
      } else {
        this.counters.dropped++;
        next++;
      }
    }
    return sent;
  }

  /** Gives a datagram that was received the address that it is to go to. */
  #redirect(record: number, words: Int32Array, from: number, port: number, scope: number): void {
    const records = this.#records;
    const at = record * DATAGRAM_WORDS;
    records[at + RECORD.HOPS] = -1;
    records[at + RECORD.TRAFFIC_CLASS] = -1;
    for (let word = 0; word < 4; word++) records[at + RECORD.ADDRESS + word] = words[from + word];
    records[at + RECORD.ADDRESS + 4] = port;
    records[at + RECORD.ADDRESS + 5] = scope;
  }

  #isSameAddress(a: number, b: number): boolean {
    const records = this.#records;
    for (let word = 0; word < SOCKET_ADDRESS_WORDS; word++) if (records[a + word] !== records[b + word]) return false;
    return true;
  }

  /** The sender whose address stands at `from` of the records; a new one where there is none, or -1: it can't be. */
  #senderOf(listener: Listener, from: number): number {
    const bucket = this.#bucket(this.#records, from, listener.number);
    let sender = this.#buckets[bucket];
    while (sender !== NONE && !this.#isSender(sender, listener.number, from)) sender = this.#chain[sender];
    return sender === NONE ? this.#admit(listener, from) : sender;
  }

  #isSender(sender: number, listener: number, from: number): boolean {
    const at = sender * KEY_WORDS;
    for (let word = 0; word < 5; word++) if (this.#keys[at + word] !== this.#records[from + word]) return false;
    return this.#keys[at + KEY_LISTENER] === listener && this.#scope[sender] === this.#records[from + 5];
  }

  #admit(listener: Listener, from: number): number {
    const fd = this.#connect(listener);
    if (fd < 0) return NONE;
    if (this.#freeCount === 0) this.#displace();
    const sender = this.#free[this.#freeCount - 1];
    const { sys, poll, tokens } = this.#deps;
    if (this.#token[sender] === 0) this.#token[sender] = tokens.allocate(new NumberedHandler(sender, this));
    if (sys.pollControl(poll, POLL_OPERATION.ADD, fd, POLL.IN, this.#token[sender]) < 0) {
      sys.close(fd);
      return NONE;
    }
    this.#freeCount--;
    this.count++;
    this.counters.senders++;
    this.#fd[sender] = fd;
    this.#outcome[sender] = OUTCOME.pending;
    this.#moved.fill(0, 2 * sender, 2 * sender + 2);
    const at = sender * KEY_WORDS;
    for (let word = 0; word < 5; word++) this.#keys[at + word] = this.#records[from + word];
    this.#keys[at + KEY_LISTENER] = listener.number;
    this.#scope[sender] = this.#records[from + 5];
    const bucket = this.#bucket(this.#keys, at, listener.number);
    this.#chain[sender] = this.#buckets[bucket];
    this.#buckets[bucket] = sender;
    this.observer?.begun(sender, listener.target, listener.port);
    return sender;
  }

  /** A socket that is connected with the target, or -errno. */
  #connect({ target, port }: Listener): number {
    const { sys } = this.#deps;
    const address = this.#address;
    for (let word = 0; word < 4; word++) address[word] = target.address[word];
    address[4] = port;
    const family = isIpv4Words(address[0], address[1], address[2]) ? SOCKET_FAMILY.INET : SOCKET_FAMILY.INET6;
    const fd = target.sockets.take(family, SOCKET_TYPE.DGRAM);
    if (fd < 0) return fd;
    const error = sys.connect(fd, address);
    if (error < 0) {
      sys.close(fd);
      return error;
    }
    sys.setOption(fd, SOL.UDP, UDP.GRO, 1);
    return fd;
  }

  #displace(): void {
    let oldest = 0;
    for (let sender = 1; sender < this.#max; sender++) {
      if (this.#activeUs[sender] < this.#activeUs[oldest]) oldest = sender;
    }
    this.counters.displaced++;
    this.#forget(oldest, OUTCOME.killed);
  }

  /** That nobody listens is how it ends, unless an answer came or comes. */
  #noteRefusal(sender: number): void {
    if (this.#outcome[sender] === OUTCOME.pending) this.#outcome[sender] = OUTCOME.refused;
  }

  /** `unanswered`: how it ends for a sender whom nobody has answered, or refused. */
  #forget(sender: number, unanswered: number): void {
    this.observer?.ended(sender, this.#endOf(sender, unanswered));
    const at = sender * KEY_WORDS;
    const bucket = this.#bucket(this.#keys, at, this.#keys[at + KEY_LISTENER]);
    if (this.#buckets[bucket] === sender) {
      this.#buckets[bucket] = this.#chain[sender];
    } else {
      let before = this.#buckets[bucket];
      while (this.#chain[before] !== sender) before = this.#chain[before];
      this.#chain[before] = this.#chain[sender];
    }
    this.#deps.sys.close(this.#fd[sender]);
    this.#fd[sender] = NONE;
    this.#free[this.#freeCount++] = sender;
    this.count--;
  }

  #endOf(sender: number, unanswered: number): number {
    const outcome = this.#outcome[sender];
    if (outcome === OUTCOME.pending) return unanswered;
    return outcome === OUTCOME.established ? OUTCOME.closed : outcome;
  }

  #bucket(words: Int32Array, at: number, listener: number): number {
    const secrets = this.#secrets;
    let sum = product(listener, secrets[2 * KEY_LISTENER], secrets[2 * KEY_LISTENER + 1]);
    for (let word = 0; word < 5; word++) {
      sum = (sum + product(words[at + word], secrets[2 * word], secrets[2 * word + 1])) | 0;
    }
    return finalized(sum) & (this.#buckets.length - 1);
  }
}
