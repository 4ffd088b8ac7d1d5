/** One TCP conversation of a simulated world: what both sides are to do, and whether what came out is right. */
import type { Random } from '#tapster/base/random.js';
import { ERRNO } from '#tapster/sys/errno.js';
import type { SimulatedClock } from '#tapster/sys/simulated/clock.js';
import type { SimulatedPeer, StreamService } from '#tapster/sys/simulated/peer.js';
import type { GuestTcp, GuestTcpOptions } from '../support/guest-tcp.ts';
import { HOUR_US, type JourneyPlan, MINUTE_US } from './plan.ts';

const PAUSE_US_MAX = 200_000;
const READ_EVERY_US = 20_000;
const IDLE_READ_EVERY_US = 200_000;
const SPEAKS_AGAIN_US = 2 * MINUTE_US;

/** Checks bytes as they arrive: each must be the next one of what was sent. */
class Arrivals {
  count = 0;
  /** The first byte that was another; -1: none. */
  wrongAt = -1;
  readonly #expected: Uint8Array;

  constructor(expected: Uint8Array) {
    this.#expected = expected;
  }

  take(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length && this.wrongAt < 0; i++) {
      if (bytes[i] !== this.#expected[this.count + i]) this.wrongAt = this.count + i;
    }
    this.count += bytes.length;
  }
}

export class Journey {
  readonly plan: JourneyPlan;
  guest: GuestTcp | undefined = undefined;
  peer: SimulatedPeer | undefined = undefined;
  /** Nobody waits for the guest any more. */
  guestHasVanished = false;
  readonly #clock: SimulatedClock;
  readonly #dice: Random;
  readonly #up: Uint8Array;
  readonly #down: Uint8Array;
  #atHost: Arrivals;
  readonly #atGuest: Arrivals;
  /** Far ends of SYNs that came twice: nobody speaks there. */
  readonly #ghosts: SimulatedPeer[] = [];
  #began = false;
  #wasReset = false;
  /** Who has written all that it has to. */
  #guestWrote = false;
  #hostWrote = false;

  /** `canLoseFrames`: a reset may be lost on its way to the guest, who then learns of it when it speaks again. */
  constructor(plan: JourneyPlan, clock: SimulatedClock, dice: Random, canLoseFrames: boolean) {
    this.plan = plan;
    if (canLoseFrames) clock.after(SPEAKS_AGAIN_US, () => this.#speakAgain());
    this.#clock = clock;
    this.#dice = dice;
    this.#up = dice.fill(new Uint8Array(plan.upBytes));
    this.#down = dice.fill(new Uint8Array(plan.downBytes));
    this.#atHost = new Arrivals(this.#up);
    this.#atGuest = new Arrivals(this.#down);
  }

  get isOver(): boolean {
    if (!this.#began || (this.guest?.isOver === false && !this.guestHasVanished)) return false;
    return [this.peer, ...this.#ghosts].every((peer) => peer === undefined || isAtEnd(peer));
  }

  /** What is wrong already now; asked after every turn. */
  get brokenNow(): string | undefined {
    if (this.#atHost.wrongAt >= 0) return `${this.#name}: the host got another byte at ${this.#atHost.wrongAt}`;
    if (this.#atGuest.wrongAt >= 0) return `${this.#name}: the guest got another byte at ${this.#atGuest.wrongAt}`;
    return undefined;
  }

  service(): StreamService {
    const { hostReading, outcome } = this.plan;
    return {
      outcome,
      reading: hostReading === 'never' ? 'manual' : hostReading,
      onConnect: (peer) => this.#connected(peer),
      onData: (bytes, peer) => {
        if (peer === this.peer) this.#atHost.take(bytes);
        else this.#atHost.wrongAt = 0;
      },
      onEnd: (peer) => {
        if (peer === this.peer) this.#endHost();
      },
    };
  }

  guestOptions(): GuestTcpOptions {
    const { guestReceiveBytes, guestReads, guestScale, gso, initialSequence, reorderingLink } = this.plan;
    return {
      receiveBytesMax: guestReceiveBytes,
      reading: guestReads === 'auto' ? 'auto' : 'manual',
      windowScale: guestScale,
      gso,
      initialSequence,
      reorderingLink,
      onData: (bytes) => this.#atGuest.take(bytes),
      onEnd: () => this.#endGuest(),
    };
  }

  /** A caller is on its way to a published port. */
  peerIs(peer: SimulatedPeer): void {
    this.#began = true;
    this.peer = peer;
  }

  /** The guest's side is there: it writes in pieces, now and then. */
  guestIs(connection: GuestTcp): void {
    this.#began = true;
    if (this.guest !== undefined) {
      // A SYN of ours that came twice, or that we repeated after the first had ended.
      connection.reset();
      return;
    }
    this.guest = connection;
    this.#inPieces(
      this.#up,
      () => !connection.isOver,
      (piece) => connection.send(piece),
      () => {
        this.#guestWrote = true;
        this.#endGuest();
      },
    );
    if (this.plan.guestReads === 'manual') this.#readNowAndThen(connection);
    if (this.plan.guestReads === 'never') this.#clock.after(HOUR_US, () => this.#reset('guest'));
    if (this.plan.resetUs >= 0) this.#clock.after(this.plan.resetUs, () => this.#reset(this.plan.resetBy));
  }

  /** Bytes of the guest that the engine has acknowledged. */
  get acceptedBytes(): number {
    return this.guest?.sender.acknowledgedBytes ?? 0;
  }

  /** `mayBreak`: the world was too hard for every conversation to reach its end. */
  problems(mayBreak: boolean): string[] {
    const { upBytes, downBytes, outcome } = this.plan;
    const { guest, peer } = this;
    const problems: string[] = [];
    const check = (right: boolean, what: string): void => {
      if (!right) problems.push(`${this.#name}: ${what}`);
    };
    const broken = this.brokenNow;
    if (broken !== undefined) problems.push(broken);
    // An end that is no reset stands behind the last byte, always.
    if (peer?.sawEnd) check(this.#atHost.count === upBytes, `ended for the host behind ${this.#atHost.count} bytes`);
    if (guest?.receiver.isEnded) {
      check(this.#atGuest.count === downBytes, `ended for the guest behind ${this.#atGuest.count} bytes`);
    }
    if (!this.isOver) {
      problems.push(`${this.#name}: never ended; the guest is ${guest?.outcome}, the host ${peer?.state}`);
    }
    if (this.#wasReset || mayBreak) return problems;
    if (outcome !== 'accept') {
      check(
        guest?.outcome === EXPECTED[outcome],
        `the guest's open ended as ${guest?.outcome}, the host's: ${outcome}`,
      );
      return problems;
    }
    if (guest === undefined || peer === undefined) return [...problems, `${this.#name}: never began`];
    check(
      this.#atHost.count === upBytes && peer.sawEnd,
      `the host got ${this.#atHost.count} bytes, and is ${peer.state}`,
    );
    check(
      this.#atGuest.count === downBytes && guest.receiver.isEnded,
      `the guest got ${this.#atGuest.count} bytes, and is ${guest.outcome}`,
    );
    // A FIN that the guest repeats because our last acknowledgement was lost meets a flow that has gone, and is answered with a reset.
    check(guest.outcome === 'closed' || guest.outcome === 'reset', `the guest's connection is ${guest.outcome}`);
    return problems;
  }

  get #name(): string {
    const { number, opener, upBytes, downBytes, ending, guest } = this.plan;
    return `conversation ${number} (guest ${guest}, ${opener} calls, ${upBytes} up, ${downBytes} down, ends ${ending})`;
  }

  #connected(peer: SimulatedPeer): void {
    const isFirst = this.peer === undefined || this.peer === peer;
    const isAgain = this.guest?.outcome === 'opening' && this.#atHost.count === 0;
    if (!isFirst && !isAgain) {
      this.#ghosts.push(peer);
      return;
    }
    if (!isFirst) this.#ghosts.push(this.peer!);
    this.peer = peer;
    this.#hostWrote = false;
    this.#atHost = new Arrivals(this.#up);
    this.#hostStarts(peer);
  }

  #hostStarts(peer: SimulatedPeer): void {
    if (this.plan.hostReading === 'never') {
      this.#clock.after(HOUR_US, () => {
        if (peer.state !== 'connected') return;
        this.#wasReset = true;
        peer.vanish(ERRNO.ETIMEDOUT);
      });
    }
    this.#inPieces(
      this.#down,
      () => peer.state === 'connected',
      (piece) => peer.send(piece),
      () => {
        if (peer !== this.peer) return;
        this.#hostWrote = true;
        this.#endHost();
      },
    );
  }

  #inPieces(bytes: Uint8Array, isOpen: () => boolean, send: (piece: Uint8Array) => void, done: () => void): void {
    let at = 0;
    const next = (): void => {
      if (!isOpen()) return;
      const piece = bytes.subarray(at, at + 1 + this.#dice.below(bytes.length));
      at += piece.length;
      if (piece.length > 0) send(piece);
      if (at >= bytes.length) done();
      else this.#clock.after(this.#dice.below(PAUSE_US_MAX), next);
    };
    next();
  }

  #readNowAndThen(connection: GuestTcp): void {
    const everyUs = connection.unreadBytes > 0 ? READ_EVERY_US : IDLE_READ_EVERY_US;
    this.#clock.after(this.#dice.below(everyUs), () => {
      if (connection.isOver) return;
      connection.read(this.#dice.below(20_000));
      this.#readNowAndThen(connection);
    });
  }

  #endGuest(): void {
    const { guest } = this;
    if (guest === undefined || guest.isOver || guest.sender.isEndQueued || !this.#guestWrote) return;
    if (this.plan.ending !== 'host-first' || guest.receiver.isEnded) guest.shutdown();
  }

  #endHost(): void {
    const { peer } = this;
    if (peer?.state !== 'connected' || !this.#hostWrote) return;
    if (this.plan.ending !== 'guest-first' || peer.sawEnd) peer.end();
  }

  /** A guest whose flow the engine has forgotten must be told so. */
  #speakAgain(): void {
    const { guest, peer } = this;
    if (guest?.isOver) return;
    if (guest !== undefined && peer?.state === 'reset') {
      if (guest.sender.isEndAcknowledged) guest.reset();
      else if (!guest.sender.isEndQueued) guest.send(Uint8Array.of(0));
    }
    this.#clock.after(SPEAKS_AGAIN_US, () => this.#speakAgain());
  }

  #reset(by: 'guest' | 'host'): void {
    if (this.guest?.isOver) return;
    this.#wasReset = true;
    if (by === 'guest') this.guest?.reset();
    else this.peer?.reset();
  }
}

/** How the guest's open ends when the host's connect does not succeed. */
const EXPECTED = {
  refuse: 'refused',
  unreachable: 'unreachable',
  'no-route': 'unreachable',
  timeout: 'timeout',
} as const;

function isAtEnd(peer: SimulatedPeer): boolean {
  return peer.sawEnd || peer.state === 'reset' || peer.state === 'refused';
}
