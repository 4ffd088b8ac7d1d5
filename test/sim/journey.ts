/** One conversation of a simulated world: what both sides are to do, and whether what came out is right. */
import type { Random } from '#tapster/base/random.js';
import type { SimulatedClock } from '#tapster/sys/simulated-clock.js';
import type { SimulatedPeer, StreamService } from '#tapster/sys/simulated-peer.js';
import type { GuestTcp, GuestTcpOptions } from '../support/guest-tcp.ts';

/** Who ends its half behind its last byte at once, and who waits for the other's end. */
export type Ending = 'both' | 'guest-first' | 'host-first';

export interface JourneyPlan {
  readonly number: number;
  readonly opener: 'guest' | 'host';
  readonly isIpv6: boolean;
  readonly startUs: number;
  /** From the guest to the host, and back. */
  readonly upBytes: number;
  readonly downBytes: number;
  readonly ending: Ending;
  /** When somebody resets it, from its opening on; -1: never. */
  readonly resetUs: number;
  readonly resetBy: 'guest' | 'host';
  readonly hostReading: 'fast' | number;
  readonly guestReads: 'auto' | 'manual';
  readonly guestReceiveBytes: number;
  readonly guestScale: number;
  readonly gso: boolean;
  readonly initialSequence: number;
  readonly reorderingLink: boolean;
}

const PAUSE_US_MAX = 200_000;
const READ_EVERY_US = 20_000;

export class Journey {
  readonly plan: JourneyPlan;
  guest: GuestTcp | undefined = undefined;
  peer: SimulatedPeer | undefined = undefined;
  readonly #clock: SimulatedClock;
  readonly #dice: Random;
  readonly #up: Uint8Array;
  readonly #down: Uint8Array;
  #wasReset = false;
  /** Who has written all that it has to. */
  #guestWrote = false;
  #hostWrote = false;

  constructor(plan: JourneyPlan, clock: SimulatedClock, dice: Random) {
    this.plan = plan;
    this.#clock = clock;
    this.#dice = dice;
    this.#up = dice.fill(new Uint8Array(plan.upBytes));
    this.#down = dice.fill(new Uint8Array(plan.downBytes));
  }

  get isOver(): boolean {
    const { guest, peer } = this;
    if (peer === undefined) return false;
    return (
      ((guest?.isOver ?? false) && (peer.sawEnd || peer.state === 'reset')) ||
      (guest === undefined && peer.state === 'reset')
    );
  }

  service(): StreamService {
    return {
      reading: this.plan.hostReading,
      onConnect: (peer) => this.#hostStarts(peer),
      onEnd: () => this.#endHost(),
    };
  }

  guestOptions(): GuestTcpOptions {
    const { guestReceiveBytes, guestReads, guestScale, gso, initialSequence, reorderingLink } = this.plan;
    return {
      receiveBytesMax: guestReceiveBytes,
      reading: guestReads,
      windowScale: guestScale,
      gso,
      initialSequence,
      reorderingLink,
      onEnd: () => this.#endGuest(),
    };
  }

  peerIs(peer: SimulatedPeer): void {
    this.peer = peer;
  }

  /** The guest's side is there: it writes in pieces, now and then. */
  guestIs(connection: GuestTcp): void {
    if (this.guest !== undefined) return;
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
    if (this.plan.resetUs >= 0) this.#clock.after(this.plan.resetUs, () => this.#reset());
  }

  problems(): string[] {
    const { number, ending, opener, upBytes, downBytes } = this.plan;
    const name = `conversation ${number} (${opener} calls, ${upBytes} up, ${downBytes} down, ends ${ending})`;
    const { guest, peer } = this;
    if (guest === undefined || peer === undefined) return this.#wasReset ? [] : [`${name} never began`];
    const problems: string[] = [];
    const check = (right: boolean, what: string): void => {
      if (!right) problems.push(`${name}: ${what}`);
    };
    check(isPrefix(peer.received, this.#up), 'the host got something else than the guest sent');
    check(isPrefix(guest.received, this.#down), 'the guest got something else than the host sent');
    if (this.#wasReset) return problems;
    check(peer.receivedBytes === upBytes && peer.sawEnd, `the host got ${peer.receivedBytes} bytes`);
    check(
      guest.received.length === downBytes && guest.receiver.isEnded,
      `the guest got ${guest.received.length} bytes, and is ${guest.outcome}`,
    );
    // A FIN that the guest repeats because our last acknowledgement was lost meets a flow that has gone, and is answered with a reset.
    check(guest.outcome === 'closed' || guest.outcome === 'reset', `the guest's connection is ${guest.outcome}`);
    check(guest.sender.acknowledgedBytes <= peer.receivedBytes, 'more was acknowledged than delivered');
    return problems;
  }

  #hostStarts(peer: SimulatedPeer): void {
    this.peer = peer;
    this.#inPieces(
      this.#down,
      () => peer.state === 'connected',
      (piece) => peer.send(piece),
      () => {
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
    this.#clock.after(this.#dice.below(READ_EVERY_US), () => {
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

  #reset(): void {
    if (this.guest?.isOver) return;
    this.#wasReset = true;
    if (this.plan.resetBy === 'guest') this.guest?.reset();
    else this.peer?.reset();
  }
}

function isPrefix(part: Uint8Array, whole: Uint8Array): boolean {
  return part.length <= whole.length && part.every((byte, at) => byte === whole[at]);
}
