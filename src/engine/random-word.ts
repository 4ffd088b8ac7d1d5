/** Random numbers that nobody can guess: from the kernel's generator, fetched by the batch. */
import { randomFillSync } from 'node:crypto';

const words: Uint32Array = new Uint32Array(256);
let left = 0;

/** 32 bits, from 0 on. */
export function randomWord(): number {
  if (left === 0) {
    randomFillSync(words);
    left = words.length;
  }
  return words[--left]!;
}
