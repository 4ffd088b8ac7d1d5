/** Mutation of inputs: of bytes, and of the order, number and origin of their parts. */
import type { Random } from '#tapster/base/random.js';
import type { FuzzTarget } from './target.ts';

/** Values at which lengths, counts and offsets go wrong. */
const BYTES: readonly number[] = [0, 1, 2, 3, 4, 7, 8, 15, 16, 63, 64, 0x7f, 0x80, 0xc0, 0xc1, 0xfe, 0xff];
const WORDS: readonly number[] = [0, 1, 7, 8, 20, 40, 255, 256, 1500, 0x3fff, 0x4000, 0x7fff, 0x8000, 0xfffe, 0xffff];
const LONGS: readonly number[] = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff, 0x1_0000, 0x4000_0000];

const PARTS_MAX = 200;
/** How often lengths and checksums are made right again behind a mutation: mostly, or nothing gets past them. */
const REPAIRED = 0.8;

/** A mutant of `parent`; `other` lends parts. */
export function mutate(target: FuzzTarget, parent: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  const parts = target.split?.(parent) ?? [parent.slice()];
  const rounds = 1 + random.below(random.chance(0.3) ? 8 : 2);
  for (let round = 0; round < rounds; round++) {
    if (target.split !== undefined && random.chance(0.3)) mutateOrder(parts, target.split(other), random);
    else mutatePart(target, parts, other, random);
  }
  const mutant = target.join?.(parts) ?? parts[0] ?? new Uint8Array(0);
  return mutant.subarray(0, target.bytesMax);
}

function mutatePart(target: FuzzTarget, parts: Uint8Array[], other: Uint8Array, random: Random): void {
  if (parts.length === 0) parts.push(new Uint8Array(1));
  const chosen = random.below(parts.length);
  const donors = target.split?.(other) ?? [other];
  const donor = donors[random.below(donors.length)] ?? other;
  const mutant = mutateBytes(parts[chosen]!, donor, random);
  if (target.repair !== undefined && random.chance(REPAIRED)) target.repair(mutant, random);
  parts[chosen] = mutant;
}

function mutateOrder(parts: Uint8Array[], others: readonly Uint8Array[], random: Random): void {
  const at = random.below(parts.length + 1);
  const part = parts[random.below(Math.max(1, parts.length))];
  switch (random.below(5)) {
    case 0:
      if (parts.length > 1) parts.splice(at, 1 + random.below(3));
      break;
    case 1:
      if (part !== undefined && parts.length < PARTS_MAX) parts.splice(at, 0, part.slice());
      break;
    case 2:
      if (part !== undefined) parts.splice(at, 0, ...parts.splice(parts.indexOf(part), 1));
      break;
    case 3:
      if (parts.length < PARTS_MAX) parts.splice(at, 0, ...others.slice(random.below(others.length + 1)).slice(0, 8));
      break;
    default:
      parts.splice(at, parts.length, ...others.slice(at).slice(0, PARTS_MAX));
  }
}

function mutateBytes(bytes: Uint8Array, donor: Uint8Array, random: Random): Uint8Array {
  const copy = bytes.slice();
  const at = random.below(Math.max(1, copy.length));
  const view = new DataView(copy.buffer);
  switch (random.below(11)) {
    case 0:
      if (copy.length > 0) copy[at]! ^= 1 << random.below(8);
      return copy;
    case 1:
      if (copy.length > 0) copy[at] = random.next();
      return copy;
    case 2:
      if (copy.length > 0) copy[at] = BYTES[random.below(BYTES.length)]!;
      return copy;
    case 3:
      if (at + 2 <= copy.length) view.setUint16(at, WORDS[random.below(WORDS.length)]!, random.chance(0.3));
      return copy;
    case 4:
      if (at + 4 <= copy.length) view.setUint32(at, LONGS[random.below(LONGS.length)]!, random.chance(0.3));
      return copy;
    case 5:
      if (copy.length > 0) copy[at]! += random.between(-4, 4);
      return copy;
    case 6:
      return copy.subarray(0, at).slice();
    case 7:
      return without(copy, at, 1 + random.below(16));
    case 8:
      return inserted(copy, at, random.fill(new Uint8Array(1 + random.below(16))));
    case 9:
      return inserted(copy, at, copy.slice(at, at + 1 + random.below(64)));
    default: {
      const from = random.below(Math.max(1, donor.length));
      return inserted(copy.slice(0, at), at, donor.slice(from, random.chance(0.5) ? donor.length : from + 16));
    }
  }
}

function without(bytes: Uint8Array, at: number, count: number): Uint8Array {
  return inserted(bytes.slice(0, at), at, bytes.slice(at + count));
}

/** `bytes` with `more` at `at`. */
function inserted(bytes: Uint8Array, at: number, more: Uint8Array): Uint8Array {
  const whole = new Uint8Array(bytes.length + more.length);
  whole.set(bytes.subarray(0, at));
  whole.set(more, at);
  whole.set(bytes.subarray(at), at + more.length);
  return whole;
}
