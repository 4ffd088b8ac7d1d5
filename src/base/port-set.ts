/** A set of ports: 65,536 bits, so that a million questions about ranges cost nothing worth counting, and any set takes 8 KiB. */

export const PORT_MAX: number = 65_535;

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export class PortSet {
  readonly #words: Uint32Array = new Uint32Array((PORT_MAX + 1) / 32);

  has(port: number): boolean {
    return (this.#words[port >>> 5] & (1 << (port & 31))) !== 0;
  }

  /** The lowest port of the range that is in the set. */
  firstIn({ first, last }: PortRange): number | undefined {
    for (let i = first >>> 5; i <= last >>> 5; i++) {
      const found = this.#words[i] & maskIn(i, first, last);
      // The lowest bit that is set: what is left of a number and its negative.
      if (found !== 0) return i * 32 + 31 - Math.clz32(found & -found);
    }
    return undefined;
  }

  add({ first, last }: PortRange): void {
    for (let i = first >>> 5; i <= last >>> 5; i++) {
      this.#words[i] |= maskIn(i, first, last);
    }
  }

  addAll(other: PortSet): void {
    for (let i = 0; i < this.#words.length; i++) this.#words[i] |= other.#words[i];
  }

  /** What of the range is in the set, as few ranges as there can be, in order. */
  inside(range: PortRange): PortRange[] {
    return this.#runs(range, true);
  }

  /** What of the range is not in the set. */
  outside(range: PortRange): PortRange[] {
    return this.#runs(range, false);
  }

  #runs({ first, last }: PortRange, wanted: boolean): PortRange[] {
    const runs: PortRange[] = [];
    let start = -1;
    for (let port = first; port <= last; port++) {
      if (this.has(port) === wanted) {
        if (start < 0) start = port;
      } else if (start >= 0) {
        runs.push({ first: start, last: port - 1 });
        start = -1;
      }
    }
    if (start >= 0) runs.push({ first: start, last });
    return runs;
  }
}

/** The bits of the word with this index that are ports from `first` to `last`. */
function maskIn(index: number, first: number, last: number): number {
  const low = index === first >>> 5 ? -1 << (first & 31) : -1;
  const high = index === last >>> 5 ? -1 >>> (31 - (last & 31)) : -1;
  return low & high;
}
