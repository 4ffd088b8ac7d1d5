/**
 * The simulated system as the worlds need it: it keeps books of what each far end was given, its clock may leap, and it may have a bug on purpose: a canary,
 * which the worlds must find (`canary.test.ts`), or they would find nothing.
 */
import { ERRNO } from '#tapster/sys/errno.js';
import type { SimulatedPeer } from '#tapster/sys/simulated/peer.js';
import { StreamSocket } from '#tapster/sys/simulated/stream.js';
import { type SimulatedOptions, SimulatedSys } from '#tapster/sys/simulated.js';
import { PIECE_WORDS } from '#tapster/sys/sys.js';

/**
 * `lost-byte`: now and then the last byte of a write is gone. `doubled-byte`: written twice. `kept-descriptor`: now and then a close closes nothing. `lost-alarm`: the
 * timer goes off no more after a while. `lost-reset`: closing with linger 0 ends the stream as if all had been delivered.
 */
export const CANARIES = ['lost-byte', 'doubled-byte', 'kept-descriptor', 'lost-alarm', 'lost-reset'] as const;
export type Canary = (typeof CANARIES)[number];

/** What became of the host's socket that leads to a peer. */
export interface Account {
  /** Bytes that the socket has taken from the engine. */
  takenBytes: number;
  isClosed: boolean;
  /** It was closed as one on which all had been delivered: without a reset, by either side. */
  endedInOrder: boolean;
}

const SHORTAGES = [ERRNO.EAGAIN, ERRNO.ENOBUFS, ERRNO.ENOMEM] as const;
/** Every so many calls the canary sings. */
const CANARY_EVERY = 7;
/** The alarm is lost from this one on. */
const CANARY_ALARMS = 3;

export class WorldSys extends SimulatedSys {
  readonly #accounts = new Map<SimulatedPeer, Account>();
  readonly #canary: Canary | undefined;
  readonly #shortage: number;
  #leaptUs = 0;
  #writes = 0;
  #closes = 0;
  #alarms = 0;

  /** `shortage`: how probable it is that a write finds no memory, and that nobody tells when there is some again. */
  constructor(options: SimulatedOptions, shortage: number, canary: Canary | undefined) {
    super(options);
    this.#shortage = shortage;
    this.#canary = canary;
  }

  /** The engine's clock moves on; nobody else's does. */
  leap(us: number): void {
    this.#leaptUs += us;
  }

  override nowUs(): number {
    return super.nowUs() + this.#leaptUs;
  }

  account(peer: SimulatedPeer): Account {
    const known = this.#accounts.get(peer);
    if (known !== undefined) return known;
    const fresh = { takenBytes: 0, isClosed: false, endedInOrder: false };
    this.#accounts.set(peer, fresh);
    return fresh;
  }

  override sendVector(fd: number, vector: number, vectorAt: number, count: number, more: boolean): number {
    // As with tcp_mem used up: where nothing is in flight, no acknowledgement will make the socket writable.
    if (this.random.chance(this.#shortage)) return -SHORTAGES[this.random.below(SHORTAGES.length)]!;
    const socket = this.descriptor(fd);
    const peer = socket instanceof StreamSocket ? socket.peer : undefined;
    const words = this.memories.words(vector, vectorAt, PIECE_WORDS * count);
    const last = vectorAt + PIECE_WORDS * count - 1;
    const isSinging = words[last]! > 1 && ++this.#writes % CANARY_EVERY === 0;
    if (this.#canary === 'doubled-byte' && isSinging) {
      const [start, length] = [words[last - 1]!, words[last]!];
      words[last] = 1;
      super.sendVector(fd, vector, last + 1 - PIECE_WORDS, 1, more);
      words[last - 1] = start;
      words[last] = length;
    }
    const isLosing = this.#canary === 'lost-byte' && isSinging;
    if (isLosing) words[last]!--;
    const taken = super.sendVector(fd, vector, vectorAt, count, more);
    if (isLosing) words[last]!++;
    if (taken > 0 && peer !== undefined) this.account(peer).takenBytes += taken;
    return isLosing && taken > 0 ? taken + 1 : taken;
  }

  override close(fd: number): number {
    const socket = this.descriptor(fd);
    if (!(socket instanceof StreamSocket) || socket.peer === undefined) return super.close(fd);
    if (this.#canary === 'kept-descriptor' && ++this.#closes % CANARY_EVERY === 0) return 0;
    if (this.#canary === 'lost-reset') socket.lingerS = -1;
    const account = this.account(socket.peer);
    account.isClosed = true;
    account.endedInOrder = socket.state === 'connected' && socket.lingerS !== 0;
    return super.close(fd);
  }

  override timerSet(fd: number, delayUs: number): number {
    if (this.#canary === 'lost-alarm' && ++this.#alarms > CANARY_ALARMS) return 0;
    return super.timerSet(fd, delayUs);
  }
}
