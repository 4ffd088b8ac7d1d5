/**
 * A front end that sends a vhost-user connection what it likes: see `vhost-user-rig.ts` for what must hold. Each part of an input is a step: what it is (a byte), and what it takes.
 */
import type { Random } from '#tapster/base/random.js';
import { REQUEST } from '#tapster/virtio/vhost-user-message.js';
import { concatenate, type FuzzTarget, joinByLength, splitByLength } from '../target.ts';
import { DESCRIPTOR, FILE_BYTES, FLAG_NEED_REPLY, type Message, PAIRS, VhostUserRig } from '../vhost-user-rig.ts';

const STEP = {
  /** request, flags, how many descriptors, their kinds, the payload. */
  MESSAGE: 0,
  /** how many bytes of it are sent, then the same. */
  PART: 1,
  TURN: 2,
  /** lengths of frames. */
  CARRY: 3,
  /** place, bytes. */
  WRITE: 4,
  /** how many blocks of the memory's file are left. */
  CUT: 5,
} as const;
const STEPS: number = Object.keys(STEP).length;
const STEPS_MAX = 100;
const DESCRIPTORS_MAX = 12;
const FRAMES_MAX = 8;
const CUT_BYTES = 0x400;

const VERSION = 1;
const REQUESTS: readonly number[] = Object.values(REQUEST);
const RINGS = 2 * PAIRS;
const QUEUE_SIZE = 16;
const GUEST = 0x1_0000_0000n;
const USER = 0x7f00_0000_0000n;
/** Bits: VERSION_1, EVENT_IDX, INDIRECT_DESC, PROTOCOL_FEATURES, MRG_RXBUF. */
const FEATURES = (1n << 32n) | (7n << 28n) | (1n << 15n);
/** MQ, LOG_SHMFD, REPLY_ACK, CONFIGURE_MEM_SLOTS. */
const PROTOCOL_FEATURES = 0b1000_0000_0000_1011n;

export const vhostUserTarget: FuzzTarget = {
  name: 'vhost-user',
  about: 'a vhost-user connection answers what it is asked to, and leaves no descriptor, whatever a front end sends it',
  bytesMax: 4096,
  millisecondsMax: 1000,
  generate: (random) => {
    const setUp = random.chance(0.7) ? settingUp(random) : [];
    const parts = Array.from({ length: random.between(1, 20) }, () => step(random));
    return joinByLength([...setUp, ...parts]);
  },
  split: splitByLength,
  join: joinByLength,
  run,
};

function run(input: Uint8Array): void {
  const rig = new VhostUserRig();
  try {
    for (const part of splitByLength(input).slice(0, STEPS_MAX)) take(rig, part);
    rig.finish();
  } finally {
    rig.close();
  }
}

function take(rig: VhostUserRig, part: Uint8Array): void {
  const rest = part.subarray(1);
  const [first = 0, second = 0] = rest;
  switch ((part[0] ?? STEP.TURN) % STEPS) {
    case STEP.MESSAGE:
      rig.send(messageIn(rest));
      break;
    case STEP.PART:
      rig.sendPart(messageIn(rest.subarray(1)), first);
      break;
    case STEP.CARRY:
      rig.carry(Array.from(rest.subarray(0, FRAMES_MAX), (length) => 14 + 16 * length));
      break;
    case STEP.WRITE:
      rig.write(((first << 8) | second) % FILE_BYTES, rest.subarray(2));
      break;
    case STEP.CUT:
      rig.cut(CUT_BYTES * (first % (FILE_BYTES / CUT_BYTES + 1)));
      break;
    default:
      rig.turn();
  }
}

function messageIn(bytes: Uint8Array): Message {
  const [request = 0, flags = 0, count = 0] = bytes;
  const payloadAt = 3 + Math.min(count, DESCRIPTORS_MAX);
  return { request, flags, descriptors: [...bytes.subarray(3, payloadAt)], payload: bytes.slice(payloadAt) };
}

/** What a front end that means well begins with, most of the time to its end. */
function settingUp(random: Random): Uint8Array[] {
  const steps = [
    message(REQUEST.SET_PROTOCOL_FEATURES, u64(PROTOCOL_FEATURES)),
    message(REQUEST.SET_FEATURES, u64(random.chance(0.8) ? FEATURES : 0n)),
    message(REQUEST.SET_MEM_TABLE, table(), [DESCRIPTOR.MEMORY]),
  ];
  for (let ring = 0; ring < RINGS; ring++) {
    steps.push(
      message(REQUEST.SET_VRING_NUM, u32(ring, QUEUE_SIZE)),
      message(REQUEST.SET_VRING_ADDR, addresses(ring)),
      message(REQUEST.SET_VRING_KICK, u64(BigInt(ring)), [DESCRIPTOR.EVENT]),
      message(REQUEST.SET_VRING_CALL, u64(BigInt(ring)), [DESCRIPTOR.EVENT]),
      message(REQUEST.SET_VRING_ENABLE, u32(ring, 1)),
    );
    // A chain of one buffer is shown.
    const [at, available] = [ring * 0x400, ring * 0x400 + 16 * QUEUE_SIZE + 2];
    const buffer = concatenate([u64(GUEST + 0x2000n), u32(100, ring % 2 === 0 ? 2 : 0)]);
    steps.push(Uint8Array.of(STEP.WRITE, at >> 8, at & 0xff, ...buffer));
    steps.push(Uint8Array.of(STEP.WRITE, available >> 8, available & 0xff, 1, 0));
  }
  steps.push(Uint8Array.of(STEP.TURN), Uint8Array.of(STEP.CARRY, 4, 90));
  return random.chance(0.7) ? steps : steps.slice(0, random.below(steps.length));
}

function step(random: Random): Uint8Array {
  if (random.chance(0.6)) return anyMessage(random);
  const kind = random.between(STEP.PART, STEP.CUT);
  if (kind === STEP.PART && random.chance(0.3)) {
    return Uint8Array.of(kind, random.below(40), ...anyMessage(random).subarray(1));
  }
  const place = random.below(RINGS * 0x400);
  if (kind === STEP.WRITE) return Uint8Array.of(kind, place >> 8, place & 0xff, random.next(), random.below(20));
  if (kind === STEP.CUT && random.chance(0.7)) return Uint8Array.of(STEP.TURN);
  return Uint8Array.of(kind === STEP.PART ? STEP.CARRY : kind, random.next(), random.next());
}

/** A message that is right, or nearly so, at whatever time. */
function anyMessage(random: Random): Uint8Array {
  const request = random.chance(0.95) ? REQUESTS[random.below(REQUESTS.length)]! : random.below(50);
  const ring = random.chance(0.9) ? random.below(RINGS) : 255;
  const kind = (right: number): number => (random.chance(0.8) ? right : random.below(8));
  const flags = random.chance(0.9) ? FLAG_NEED_REPLY : 0;
  switch (request) {
    case REQUEST.SET_FEATURES:
      return message(request, u64(FEATURES & ~(1n << BigInt(random.below(34)))), [], flags);
    case REQUEST.SET_PROTOCOL_FEATURES:
      return message(request, u64(random.chance(0.9) ? PROTOCOL_FEATURES : BigInt(random.below(0x10000))), [], flags);
    case REQUEST.SET_MEM_TABLE:
      return message(request, table(), [kind(DESCRIPTOR.MEMORY)], flags);
    case REQUEST.ADD_MEM_REG:
    case REQUEST.REM_MEM_REG: {
      const place = BigInt(random.below(4)) * 0x8000n;
      const fds = request === REQUEST.ADD_MEM_REG ? [kind(DESCRIPTOR.MEMORY)] : [];
      return message(request, u64(0n, GUEST + place, BigInt(FILE_BYTES), USER + place, 0n), fds, flags);
    }
    case REQUEST.SET_LOG_BASE:
      return message(request, u64(BigInt(random.below(FILE_BYTES)), 0n), [kind(DESCRIPTOR.MEMORY)], flags);
    case REQUEST.SET_VRING_ADDR:
      return message(request, addresses(ring, random.chance(0.3) ? BigInt(random.below(0x9000)) : 0n), [], flags);
    case REQUEST.SET_VRING_KICK:
    case REQUEST.SET_VRING_CALL:
    case REQUEST.SET_VRING_ERR:
      return message(request, u64(BigInt(ring)), [kind(DESCRIPTOR.EVENT)], flags);
    case REQUEST.SET_VRING_NUM:
    case REQUEST.SET_VRING_BASE:
    case REQUEST.GET_VRING_BASE:
    case REQUEST.SET_VRING_ENABLE:
      return message(request, u32(ring, [0, 1, QUEUE_SIZE, 65_535][random.below(4)]!), [], flags);
    default: {
      const isNumber =
        request === REQUEST.NET_SET_MTU || request === REQUEST.SET_STATUS || request === REQUEST.SEND_RARP;
      return message(request, isNumber ? u64(BigInt(random.below(3))) : new Uint8Array(0), [], flags);
    }
  }
}

function message(
  request: number,
  payload: Uint8Array,
  descriptors: readonly number[] = [],
  flags = FLAG_NEED_REPLY,
): Uint8Array {
  return Uint8Array.of(STEP.MESSAGE, request, VERSION | flags, descriptors.length, ...descriptors, ...payload);
}

function table(): Uint8Array {
  return u64(1n, GUEST, BigInt(FILE_BYTES), USER, 0n);
}

function addresses(ring: number, more = 0n): Uint8Array {
  const at = USER + BigInt(ring * 0x400) + more;
  const available = at + BigInt(16 * QUEUE_SIZE);
  return concatenate([u32(ring, ring & 1), u64(at, available + 0x40n, available, GUEST)]);
}

function u32(...values: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer);
}

function u64(...values: readonly bigint[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(values).buffer);
}
