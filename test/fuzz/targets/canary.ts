/**
 * The canary: a little parser of its own, with a bug that is planted where a flag of this file says so. A fuzzer that does not find it finds nothing.
 *
 * A message is a magic, a count, and so many options of a type, a length and data; the planted bug believes the length of option 9 when it is at the end. Found by chance alone it
 * takes long: the way there goes through a magic and well-formed options.
 */
import type { Random } from '#tapster/base/random.js';
import { WindowView } from '../guarded-view.ts';
import type { FuzzTarget } from '../target.ts';

const MAGIC = 0x7a;
const OPTION_PLANTED = 9;

/** `planted`: with the bug. */
export function canaryTarget(planted: boolean): FuzzTarget {
  return {
    name: planted ? 'canary' : 'canary-without-bug',
    about: 'a parser with a planted bug, which must be found',
    bytesMax: 64,
    millisecondsMax: 500,
    generate,
    run: (input) => {
      const view = new WindowView(input);
      read(view, view.from, view.to, planted);
    },
  };
}

function generate(random: Random): Uint8Array {
  const bytes = [MAGIC, 0, 0];
  for (let count = random.below(4); count > 0; count--) {
    const data = random.below(4);
    // Never option 9: mutation has to make it.
    bytes.push(random.below(8), data, ...new Array<number>(data).fill(0));
    bytes[1]!++;
  }
  return Uint8Array.from(bytes);
}

function read(view: DataView, at: number, end: number, planted: boolean): number {
  if (end - at < 3 || view.getUint8(at) !== MAGIC) return -1;
  let sum = 0;
  let position = at + 3;
  for (let left = view.getUint8(at + 1); left > 0; left--) {
    if (end - position < 2) return -2;
    const type = view.getUint8(position);
    const length = view.getUint8(position + 1);
    const believed = planted && type === OPTION_PLANTED && left === 1;
    if (length > end - position - 2 && !believed) return -3;
    for (let i = 0; i < length; i++) sum += view.getUint8(position + 2 + i);
    position += 2 + length;
  }
  return sum;
}
