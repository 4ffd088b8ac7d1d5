/**
 * What a fuzz target is: a way to make inputs, and a function that must hold for every one of them.
 *
 * An input is bytes, also where it stands for a script of frames or segments: so that mutation, the corpus, and the search for the smallest input that
 * still fails are the same for all. A target whose inputs have parts says how they come apart (`split`) and together (`join`).
 */
import type { Random } from '#tapster/base/random.js';

export interface FuzzTarget {
  readonly name: string;
  /** What it holds, in a few words, for the list of targets. */
  readonly about: string;
  /** Longer inputs are cut off. */
  readonly bytesMax: number;
  /** An input may take this long, however loaded the machine is. */
  readonly millisecondsMax: number;
  /** An input that is mostly well formed. */
  generate(random: Random): Uint8Array;
  /** The parts of an input: frames, segments, options. Not said: it has one. */
  split?(input: Uint8Array): Uint8Array[];
  join?(parts: readonly Uint8Array[]): Uint8Array;
  /** Makes lengths and checksums of a part right again, in place, so that mutations get past the first check. */
  repair?(part: Uint8Array, random: Random): void;
  /** Throws, or rejects, where an invariant does not hold. The same input gives the same outcome, whatever ran before. */
  run(input: Uint8Array): void | Promise<void>;
}

/** Parts behind one another, each with its length in front, in 2 bytes. A part that is cut short is the last. */
export function splitByLength(input: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at + 2 <= input.length; ) {
    const end = Math.min(input.length, at + 2 + ((input[at]! << 8) | input[at + 1]!));
    parts.push(input.slice(at + 2, end));
    at = end;
  }
  return parts;
}

export function joinByLength(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + 2 + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole[at] = part.length >> 8;
    whole[at + 1] = part.length;
    whole.set(part, at + 2);
    at += 2 + part.length;
  }
  return whole;
}

/** Parts of a fixed size; a rest is a part too. */
export function splitBySize(input: Uint8Array, bytes: number): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < input.length; at += bytes) parts.push(input.slice(at, at + bytes));
  return parts;
}

export function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
