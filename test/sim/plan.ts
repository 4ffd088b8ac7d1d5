/** What a seed decides: the world, each conversation over TCP, each one over datagrams, and the accidents. */
import { TCP_HELD_BYTES_MAX } from '#tapster/base/limits.js';
import type { Random } from '#tapster/base/random.js';
import type { FaultPlan } from '#tapster/sys/simulated/faults.js';
import type { ConnectOutcome } from '#tapster/sys/simulated/peer.js';
import type { Impairment } from '../support/guest-link.ts';

const SECOND_US = 1_000_000;
export const MINUTE_US: number = 60 * SECOND_US;
export const HOUR_US: number = 60 * MINUTE_US;

/**
 * Time goes wrong once. `stall`: the engine gets no turn for so long while guests and hosts live on (SIGSTOP, a starved machine). `leap`: its clock alone moves
 * on (the machine was suspended, and nobody else noticed).
 */
export interface TimeJump {
  readonly kind: 'stall' | 'leap';
  readonly atUs: number;
  readonly us: number;
}

/** Everything that the seed decides about the world, unless a test does. */
export interface WorldPlan {
  readonly guests: number;
  readonly impairment: Impairment;
  readonly faults: FaultPlan;
  /** Frames of a guest that wait for the engine; the link loses what is beyond. */
  readonly waitingFramesMax: number;
  readonly peekOffset: boolean;
  readonly offload: boolean;
  readonly udpOffload: boolean;
  readonly mtuBytes: number;
  readonly latencyUs: number;
  readonly sendBytesMax: number;
  readonly receiveBytesMax: number;
  readonly heldBytesMax: number;
  readonly flowsMax: number;
  /** Descriptors that flows may have beside those that the engine opens at its start. */
  readonly descriptorsForFlows: number;
  /** Calls that make descriptors, and memory for sockets, fail now and then. */
  readonly isScarce: boolean;
  /** How probable it is that a write to a connection finds no memory, and that no event tells when there is some. */
  readonly shortage: number;
  readonly jumps: readonly TimeJump[];
  /** When each guest vanishes without a word; -1: never. */
  readonly vanishUs: readonly number[];
  readonly journeys: number;
  /** Bytes each way in one conversation, at most. */
  readonly bytesMax: number;
  /** How many of the conversations somebody resets. */
  readonly resets: number;
  readonly talks: number;
}

/** Who ends its half behind its last byte at once, and who waits for the other's end. */
export type Ending = 'both' | 'guest-first' | 'host-first';

export interface JourneyPlan {
  readonly number: number;
  readonly guest: number;
  readonly opener: 'guest' | 'host';
  readonly isIpv6: boolean;
  readonly startUs: number;
  /** What the host's connect comes to. */
  readonly outcome: ConnectOutcome;
  /** From the guest to the host, and back. */
  readonly upBytes: number;
  readonly downBytes: number;
  readonly ending: Ending;
  /** When somebody resets it, from its opening on; -1: never. */
  readonly resetUs: number;
  readonly resetBy: 'guest' | 'host';
  /** `never`: the host reads nothing, and the path to it is lost after an hour. */
  readonly hostReading: 'fast' | 'never' | number;
  /** `never`: the guest reads nothing, and its program is killed after an hour. */
  readonly guestReads: 'auto' | 'manual' | 'never';
  readonly guestReceiveBytes: number;
  readonly guestScale: number;
  readonly gso: boolean;
  readonly initialSequence: number;
  readonly reorderingLink: boolean;
}

export type TalkKind = 'echo' | 'refused' | 'published' | 'resolver' | 'local-name' | 'ping' | 'ping-gateway';

export interface TalkPlan {
  readonly number: number;
  readonly guest: number;
  readonly kind: TalkKind;
  readonly isIpv6: boolean;
  readonly startUs: number;
  readonly datagrams: number;
  readonly bytes: number;
  readonly intervalUs: number;
}

export function planWorld(dice: Random): WorldPlan {
  const guests = dice.chance(0.3) ? dice.between(2, 3) : 1;
  const isScarce = dice.chance(0.15);
  const offload = dice.chance(0.5);
  return {
    guests,
    impairment: dice.chance(0.7) ? planImpairment(dice) : {},
    faults: { ...(dice.chance(0.5) ? BUSY_FAULTS : {}), ...(isScarce ? SCARCE_FAULTS : {}) },
    waitingFramesMax: dice.chance(0.2) ? dice.between(5, 50) : MANY_FRAMES,
    peekOffset: dice.chance(0.7),
    offload,
    udpOffload: offload && dice.chance(0.5),
    mtuBytes: pick(dice, [1500, 1500, 9000, 65_520]),
    latencyUs: pick(dice, [0, 100, 20_000]),
    sendBytesMax: pick(dice, [4000, 50_000, 212_992]),
    receiveBytesMax: pick(dice, [4000, 100_000, 212_992]),
    heldBytesMax: pick(dice, [64 * 1024, 128 * 1024, 16 * 1024 * 1024]),
    flowsMax: dice.chance(0.1) ? dice.between(2, 6) : 64,
    descriptorsForFlows: dice.chance(0.1) ? dice.between(1, 5) : 1000,
    isScarce,
    shortage: dice.chance(0.2) ? pick(dice, [0.02, 0.2]) : 0,
    jumps: dice.chance(0.2) ? Array.from({ length: dice.between(1, 3) }, () => planJump(dice)) : [],
    vanishUs: Array.from({ length: guests }, () => (dice.chance(0.05) ? dice.below(2 * SECOND_US) : -1)),
    journeys: dice.between(1, 8),
    bytesMax: pick(dice, [2000, 60_000, 200_000]),
    resets: dice.chance(0.3) ? 1 : 0,
    talks: dice.chance(0.6) ? dice.between(1, 6) : 0,
  };
}

export function planJourney(dice: Random, world: WorldPlan, number: number): JourneyPlan {
  const isIpv6 = dice.chance(0.3);
  const endings: readonly Ending[] = ['both', 'guest-first', 'host-first'];
  const opener = number % 3 === 2 ? 'host' : 'guest';
  const isRefused = opener === 'guest' && dice.chance(0.08);
  const outcomes: readonly ConnectOutcome[] = ['refuse', 'unreachable', 'timeout', 'no-route'];
  return {
    number,
    guest: dice.below(world.guests),
    opener,
    isIpv6,
    startUs: dice.below(100_000),
    outcome: isRefused ? pick(dice, outcomes) : 'accept',
    upBytes: dice.chance(0.1) ? 0 : dice.below(world.bytesMax),
    downBytes: dice.chance(0.1) ? 0 : dice.below(world.bytesMax),
    ending: pick(dice, endings),
    resetUs: number < world.resets ? dice.below(2 * SECOND_US) : -1,
    resetBy: pick(dice, ['guest', 'host']),
    hostReading: dice.chance(0.04) ? 'never' : pick(dice, ['fast', 'fast', 100_000, 1_000_000] as const),
    guestReads: dice.chance(0.04) ? 'never' : dice.chance(0.7) ? 'auto' : 'manual',
    guestReceiveBytes: pick(dice, [3000, 65_535, 300_000]),
    guestScale: pick(dice, [-1, 0, 7]),
    gso: world.offload && dice.chance(0.5),
    initialSequence: pick(dice, [0, 0x7fff_f000, 0xffff_f000]),
    reorderingLink: (world.impairment.reorder ?? 0) > 0 || (world.impairment.duplication ?? 0) > 0,
  };
}

export function planTalk(dice: Random, world: WorldPlan, number: number): TalkPlan {
  const kinds: readonly TalkKind[] = ['echo', 'refused', 'published', 'resolver', 'local-name', 'ping', 'ping-gateway'];
  return {
    number,
    guest: dice.below(world.guests),
    kind: pick(dice, kinds),
    isIpv6: dice.chance(0.4),
    startUs: dice.below(500_000),
    datagrams: dice.between(1, 20),
    bytes: dice.between(16, 1400),
    intervalUs: pick(dice, [0, 1000, 50_000, 40 * SECOND_US]),
  };
}

/** Whether the world may break conversations that nobody in them ended: then each still ends in order or by a reset, but may end early. */
export function isHard(world: WorldPlan): boolean {
  const isLong = world.jumps.some(({ kind, us }) => kind === 'stall' && us > STALL_SURVIVED_US);
  return world.isScarce || world.flowsMax < 64 || world.descriptorsForFlows < 64 || isLong;
}

/**
 * Whether the windows of all flows together promise more than the store for slow hosts holds. What it has no room for is not accepted, so a guest whose host never reads
 * repeats itself in vain, instead of finding its window closed, and gives up.
 */
export function isOvercommitted(world: WorldPlan): boolean {
  return world.heldBytesMax < world.journeys * TCP_HELD_BYTES_MAX;
}

/** Whether a frame may be lost between guest and engine. */
export function canLoseFrames(world: WorldPlan): boolean {
  const isLossy = (world.impairment.loss ?? 0) > 0 || world.waitingFramesMax < MANY_FRAMES;
  return isLossy || world.faults.writeFrames !== undefined;
}

/** Whether nothing at all can lose a datagram. */
export function isClean(world: WorldPlan): boolean {
  const isPerfect = Object.keys(world.impairment).length === 0 && Object.keys(world.faults).length === 0;
  return (
    isPerfect && !canLoseFrames(world) && !isHard(world) && world.jumps.length === 0 && world.receiveBytesMax >= 100_000
  );
}

const MANY_FRAMES = 100_000;
/** Less than any TCP waits for. */
const STALL_SURVIVED_US = 20 * SECOND_US;

function planJump(dice: Random): TimeJump {
  const kind = pick(dice, ['stall', 'leap'] as const);
  return {
    kind,
    atUs: dice.below(3 * SECOND_US),
    us: pick(dice, [SECOND_US, 10 * SECOND_US, STALL_SURVIVED_US, MINUTE_US, 5 * MINUTE_US, 3 * HOUR_US]),
  };
}

function planImpairment(dice: Random): Impairment {
  return {
    loss: pick(dice, [0, 0.01, 0.05]),
    duplication: pick(dice, [0, 0.02]),
    reorder: pick(dice, [0, 0.05]),
    reorderUs: pick(dice, [200, 20_000]),
    delayUs: pick(dice, [0, 100, 5000]),
    jitterUs: pick(dice, [0, 500]),
  };
}

/** A machine under load: every call may do less than it was asked to. */
const BUSY_FAULTS: FaultPlan = {
  sendVector: { again: 0.05, short: 0.2, noBuffers: 0.02, noMemory: 0.02 },
  peek: { short: 0.1, again: 0.02 },
  discard: { short: 0.2 },
  readFrames: { short: 0.2, again: 0.05 },
  writeFrames: { short: 0.1, again: 0.01, noBuffers: 0.01, noMemory: 0.01 },
  receiveDatagrams: { short: 0.2, again: 0.05 },
  sendDatagrams: { short: 0.2, again: 0.02, noBuffers: 0.02 },
};

/** A machine without: descriptors, memory for sockets, places in the poll set. */
const SCARCE_FAULTS: FaultPlan = {
  socket: { noDescriptors: 0.1, noBuffers: 0.05, noMemory: 0.05 },
  connect: { noBuffers: 0.05, noMemory: 0.03, again: 0.03 },
  accept: { again: 0.1, noDescriptors: 0.1, noBuffers: 0.05, noMemory: 0.05 },
  pollControl: { noMemory: 0.05 },
};

function pick<T>(dice: Random, choices: readonly T[]): T {
  return choices[dice.below(choices.length)]!;
}
