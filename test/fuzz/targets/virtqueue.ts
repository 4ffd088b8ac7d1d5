/**
 * A guest that lies, at the other side of its virtqueues: see `virtqueue-rig.ts` for what must hold.
 *
 * The first part of an input says what was negotiated: features (a byte), offloads (a byte), entries of a queue (a power of two). Each other part is a step: what it is (a byte), and what it
 * takes; what is not said is 0. Chains are laid out by a driver that means well, round and round in an area of each ring; all else writes what it likes.
 */
import type { Random } from '#tapster/base/random.js';
import { FRAME_PACKETS_MAX } from '#tapster/graph/node.js';
import type { LinkOffload } from '#tapster/packet/offload.js';
import { type FuzzTarget, joinByLength, splitByLength } from '../target.ts';
import { PLACEMENTS, STYLE, STYLES, VirtqueueDriver } from '../virtqueue-driver.ts';
import { REGIONS } from '../virtqueue-memory.ts';
import { FROM_GUEST, type Negotiated, TO_GUEST, VirtqueueRig } from '../virtqueue-rig.ts';

const STEP = {
  /** ring, style, seed, then lengths of buffers. */
  CHAIN: 0,
  RECEIVE: 1,
  /** Lengths. */
  TRANSMIT: 2,
  /** where, index, region, place, length, flags, next. */
  DESCRIBE: 3,
  /** ring, heads. */
  SHOW: 4,
  /** ring, number. */
  SHOWN: 5,
  /** ring, flags, event. */
  WISH: 6,
  /** region, place, bytes. */
  POKE: 7,
  /** when, how many, region, place, bytes. */
  AMBUSH: 8,
  /** region, whether it is there. */
  ANNOUNCE: 9,
  /** ring, placement, whether it begins anew, base. */
  START: 10,
  STOP: 11,
  KICK: 12,
} as const;
const STEPS: number = Object.keys(STEP).length;
const STEPS_MAX = 64;

const FEATURE = { EVENT_INDEX: 1, INDIRECT: 2, MERGEABLE: 4, VERSION_1: 8, LENDS: 16, LOGS: 32 } as const;
const FRAMES_MAX = 8;
const FRAME_BYTES_MAX = 4000;
const SIZE_BITS_MAX = 6;
const HEADER_BYTES = 12;

export const virtqueueTarget: FuzzTarget = {
  name: 'virtqueue',
  about: 'the virtqueues of a guest that lies carry what its chains hold, and nothing else in its memory is touched',
  bytesMax: 2048,
  millisecondsMax: 1000,
  generate,
  split: splitByLength,
  join: joinByLength,
  run: (input) => run(input),
};

/** The same with a planted bug, which must be found: what is in a region that was taken away is still written to. */
export const virtqueueCanaryTarget: FuzzTarget = {
  ...virtqueueTarget,
  name: 'virtqueue-canary',
  about: 'virtqueues with a planted bug, which must be found',
  run: (input) =>
    run(input, (rig) => {
      const { guest } = rig.memory;
      const remove = guest.remove.bind(guest);
      guest.remove = (region) => (region === REGIONS[1] ? undefined : remove(region));
    }),
};

function generate(random: Random): Uint8Array {
  const settings = Uint8Array.of(random.next(), random.next(), random.below(SIZE_BITS_MAX + 1));
  const parts = Array.from({ length: random.between(1, 20) }, () => steps(random)).flat();
  return joinByLength([settings, ...parts].slice(0, STEPS_MAX));
}

/** Steps that follow one another: mostly a chain and what uses it. */
function steps(random: Random): Uint8Array[] {
  const ring = random.below(2);
  if (random.chance(0.5)) {
    const chains = Array.from({ length: random.between(1, 4) }, () => chainStep(random, ring));
    return [...chains, ring === FROM_GUEST ? Uint8Array.of(STEP.RECEIVE) : transmitStep(random)];
  }
  const place = [random.next(), random.next()];
  switch (random.below(STEPS)) {
    case STEP.CHAIN:
      return [chainStep(random, ring)];
    case STEP.TRANSMIT:
      return [transmitStep(random)];
    case STEP.RECEIVE:
      return [Uint8Array.of(STEP.RECEIVE, random.chance(0.5) ? 0 : random.below(4))];
    case STEP.DESCRIBE: {
      const length = [random.chance(0.1) ? 255 : 0, 0, random.below(8), random.next()];
      const target = [random.below(3), random.below(4), random.below(5), ...place];
      return [
        Uint8Array.of(STEP.DESCRIBE, ...target, ...length, random.below(8), 0, random.below(5)),
        Uint8Array.of(STEP.SHOW, ring, 0, random.below(4)),
      ];
    }
    case STEP.SHOW:
      return [Uint8Array.of(STEP.SHOW, ring, random.chance(0.1) ? 255 : 0, random.below(9), 0, random.below(9))];
    case STEP.SHOWN:
      return [Uint8Array.of(STEP.SHOWN, ring, random.chance(0.5) ? 0 : random.next(), random.next())];
    case STEP.START:
      return [
        Uint8Array.of(
          STEP.START,
          ring,
          random.chance(0.5) ? 0 : random.below(PLACEMENTS.length),
          random.below(2),
          ...place,
        ),
      ];
    case STEP.ANNOUNCE:
      return [Uint8Array.of(STEP.ANNOUNCE, random.below(REGIONS.length), random.below(2))];
    case STEP.AMBUSH:
      return [
        Uint8Array.of(STEP.AMBUSH, random.below(2), random.below(6), random.below(2), ...place, random.next()),
        Uint8Array.of(random.chance(0.5) ? STEP.RECEIVE : STEP.TRANSMIT, 0, 100),
      ];
    default: {
      const kind = [STEP.WISH, STEP.POKE, STEP.STOP, STEP.KICK][random.below(4)]!;
      return [Uint8Array.of(kind, ring, ...place, random.next(), random.next())];
    }
  }
}

function chainStep(random: Random, ring: number): Uint8Array {
  if (ring === FROM_GUEST && random.chance(0.1)) return segmentStep(random);
  const style = random.below(random.chance(0.5) ? 4 : STYLES);
  const lengths = ring === TO_GUEST ? roomLengths(random) : frameLengths(random);
  return Uint8Array.of(STEP.CHAIN, ring, style, random.next(), ...lengths.flatMap((each) => [each >> 8, each & 0xff]));
}

/** One whose payload is lent where that is negotiated, or nearly so. */
function segmentStep(random: Random): Uint8Array {
  const lengths = [random.between(1, 300), random.below(100), random.between(7900, 9000)];
  const style = STYLE.SEGMENT | (random.chance(0.5) ? random.below(4) : 0);
  return Uint8Array.of(
    STEP.CHAIN,
    FROM_GUEST,
    style,
    random.next(),
    ...lengths.flatMap((each) => [each >> 8, each & 0xff]),
  );
}

/** A frame and its header, in some buffers. */
function frameLengths(random: Random): number[] {
  let left = HEADER_BYTES + [random.below(20), 60, 64, 1514, random.below(FRAME_BYTES_MAX)][random.below(5)]!;
  const lengths: number[] = [];
  while (left > 0 && lengths.length < 5) {
    const next = random.chance(0.4) ? left : random.below(left + 1);
    lengths.push(next);
    left -= next;
  }
  return left > 0 ? [...lengths, left] : lengths;
}

function roomLengths(random: Random): number[] {
  return Array.from({ length: random.between(1, 4) }, () => [12, random.below(20), 256, 1526, 2048][random.below(5)]!);
}

function transmitStep(random: Random): Uint8Array {
  const lengths = Array.from(
    { length: random.between(1, 4) },
    () => [14, 60, 1514, random.below(FRAME_BYTES_MAX)][random.below(4)]!,
  );
  return Uint8Array.of(STEP.TRANSMIT, ...lengths.flatMap((each) => [each >> 8, each & 0xff]));
}

function run(input: Uint8Array, plant: (rig: VirtqueueRig) => void = () => {}): void {
  const [settings = new Uint8Array(0), ...parts] = splitByLength(input);
  const rig = new VirtqueueRig(negotiated(settings));
  try {
    plant(rig);
    const driver = new VirtqueueDriver(rig);
    for (const part of parts.slice(0, STEPS_MAX)) take(driver, rig, part);
    driver.beginAnew();
  } finally {
    rig.close();
  }
}

function take(driver: VirtqueueDriver, rig: VirtqueueRig, part: Uint8Array): void {
  const at = (i: number): number => part[i] ?? 0;
  const pair = (i: number): number => (at(i) << 8) | at(i + 1);
  const ring = at(1) & 1;
  switch (at(0) % STEPS) {
    case STEP.CHAIN:
      driver.offer(ring, at(2), at(3), pairs(part.subarray(4)));
      break;
    case STEP.RECEIVE:
      rig.receive(at(1) === 0 ? FRAME_PACKETS_MAX : at(1));
      break;
    case STEP.TRANSMIT:
      rig.transmit(pairs(part.subarray(1)).slice(0, FRAMES_MAX).map(frameOf));
      break;
    case STEP.DESCRIBE: {
      const address = REGIONS[at(3) % REGIONS.length]!.guestAddress + pair(4);
      driver.describe(at(1) % 3, at(2), {
        address,
        length: pair(6) * 0x1_0000 + pair(8),
        flags: at(10),
        next: pair(11),
      });
      break;
    }
    case STEP.SHOW:
      rig.show(ring, pairs(part.subarray(2)).slice(0, FRAMES_MAX));
      break;
    case STEP.SHOWN:
      rig.setShown(ring, pair(2));
      break;
    case STEP.WISH:
      rig.setWish(ring, at(2), pair(3));
      break;
    case STEP.POKE:
      rig.poke(rig.memory.placeIn(at(1), pair(2)), part.subarray(4));
      break;
    case STEP.AMBUSH:
      rig.memory.prepareAmbush(
        at(1) & 1 ? 'lookups' : 'copies',
        at(2),
        rig.memory.placeIn(at(3), pair(4)),
        part.slice(6),
      );
      break;
    case STEP.ANNOUNCE:
      rig.announce(at(1) % REGIONS.length, (at(2) & 1) === 0);
      break;
    case STEP.START:
      driver.start(ring, at(2), at(3) === 0 ? undefined : pair(4));
      break;
    case STEP.STOP:
      rig.stop(ring);
      break;
    default:
      rig.kick(ring);
  }
}

function negotiated([features = 0, offloads = 0, bits = 0]: Uint8Array): Negotiated {
  const has = (bit: number): boolean => (features & bit) !== 0;
  const offload = (all: number): LinkOffload => ({
    checksum: (all & 1) !== 0,
    tcpSegmentation: (all & 2) !== 0,
    udpSegmentation: (all & 4) !== 0,
  });
  return {
    eventIndex: has(FEATURE.EVENT_INDEX),
    indirect: has(FEATURE.INDIRECT),
    lends: has(FEATURE.LENDS),
    logs: has(FEATURE.LOGS),
    size: 1 << Math.min(bits, SIZE_BITS_MAX),
    features: {
      offload: offload(offloads),
      guestOffload: offload(offloads >> 3),
      mergeable: has(FEATURE.MERGEABLE),
      headerBytes: has(FEATURE.MERGEABLE | FEATURE.VERSION_1) ? HEADER_BYTES : HEADER_BYTES - 2,
    },
  };
}

function frameOf(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length: Math.min(length, FRAME_BYTES_MAX) }, (_, i) => i * 7 + seed);
}

/** Words of two bytes. */
function pairs(bytes: Uint8Array): number[] {
  return Array.from({ length: bytes.length >> 1 }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!);
}
