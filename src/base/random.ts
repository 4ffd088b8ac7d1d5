/**
 * Random numbers from a seed, the same on every machine: for tests, simulation and link impairment; never for secrets.
 *
 * xoshiro128** 1.1 (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2018), its state filled from the seed
 * by a 32-bit mixing function (Murmur3's finaliser), so that neighbouring seeds give unrelated streams.
 */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(seed: number) {
    this.#a = mix(seed + 0x9e3779b9);
    this.#b = mix(seed + 0x3c6ef372);
    this.#c = mix(seed + 0xdaa66d2b);
    // The state must not be all zero.
    this.#d = mix(seed + 0x78dde6e4) | 1;
  }

  /** 32 random bits, as int32. */
  next(): number {
    const result = Math.imul(rotate(Math.imul(this.#b, 5), 7), 9);
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = rotate(this.#d, 11);
    return result;
  }

  /** From 0 up to but not including 1. */
  fraction(): number {
    return (this.next() >>> 0) / 0x1_0000_0000;
  }

  /** An integer from 0 up to but not including `limit`. */
  below(limit: number): number {
    return Math.floor(this.fraction() * limit);
  }

  /** An integer from `least` to `most`, both included. */
  between(least: number, most: number): number {
    return least + this.below(most - least + 1);
  }

  /** True with the given probability. Draws nothing when it is 0, so that a fault that is off changes no other fault's stream. */
  chance(probability: number): boolean {
    return probability > 0 && this.fraction() < probability;
  }

  /** Fills `bytes`, and returns them. */
  fill(bytes: Uint8Array): Uint8Array {
    let word = 0;
    for (let at = 0; at < bytes.length; at++) {
      if ((at & 3) === 0) word = this.next();
      bytes[at] = word;
      word >>>= 8;
    }
    return bytes;
  }
}

function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}

function mix(seed: number): number {
  let word = seed | 0;
  word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
  return word ^ (word >>> 16);
}
