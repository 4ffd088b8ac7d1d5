/**
 * Which blocks of the product's code have run, by V8's own counters (Profiler.takePreciseCoverage of the inspector protocol), in this process.
 *
 * V8 puts counters into functions that it compiles while coverage is on. So it must be started before the product's modules are loaded.
 */
import { Session } from 'node:inspector';

interface FunctionBlocks {
  readonly start: number;
  /** One byte for each character of its source: 1 where it has run. */
  readonly ran: Uint8Array;
  /** Where blocks begin or end, as far as V8 has told. */
  readonly edges: Set<number>;
}

interface ScriptCoverage {
  readonly url: string;
  readonly functions: readonly { readonly ranges: readonly Range[] }[];
}

/** The first range of a function is all of it; each further one says what differs inside. */
interface Range {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}

/** Blocks of each function: where they start and end, and whether they have run. */
export type Blocks = Record<string, [start: number, end: number, ran: 0 | 1][]>;

export class Coverage {
  readonly #session: Session = new Session();
  readonly #functions: Map<string, FunctionBlocks> = new Map();

  constructor() {
    this.#session.connect();
    this.#post('Profiler.enable');
    this.#post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** Adds what has run since the last call. Returns the characters of source that had not run before, as `function:character`. */
  take(): Set<string> {
    const fresh = new Set<string>();
    for (const [key, ranges] of this.#read()) {
      const known = this.#function(key, ranges[0]!);
      const now = flatten(ranges);
      for (const { startOffset, endOffset } of ranges) known.edges.add(startOffset).add(endOffset);
      for (let i = 0; i < now.length; i++) {
        if (now[i] === 0 || known.ran[i] === 1) continue;
        // The first character of a run stands for all of it.
        if (i === 0 || now[i - 1] === 0 || known.ran[i - 1] === 1) fresh.add(`${key}:${i}`);
        known.ran[i] = 2;
      }
      for (let i = 0; i < now.length; i++) if (known.ran[i] === 2) known.ran[i] = 1;
    }
    return fresh;
  }

  /** Which of `inputs` reach what `take` has found; each counts for what those before it did not reach. */
  async attribute(
    fresh: Set<string>,
    inputs: readonly Uint8Array[],
    run: (input: Uint8Array) => void | Promise<void>,
  ): Promise<Uint8Array[]> {
    const left = new Set(fresh);
    this.#read();
    const found: Uint8Array[] = [];
    for (const input of inputs) {
      if (left.size === 0) break;
      await run(input);
      const before = left.size;
      for (const [key, ranges] of this.#read()) {
        const now = flatten(ranges);
        for (const each of left) {
          const colon = each.lastIndexOf(':');
          if (each.slice(0, colon) === key && now[Number(each.slice(colon + 1))] === 1) left.delete(each);
        }
      }
      if (left.size < before) found.push(input);
    }
    return found;
  }

  /** All blocks that V8 has told of. */
  blocks(): Blocks {
    const blocks: Blocks = {};
    for (const [key, { start, ran, edges }] of this.#functions) {
      const sorted = [...edges].sort((a, b) => a - b);
      blocks[key] = sorted.slice(1).map((end, i) => [sorted[i]!, end, ran[sorted[i]! - start] === 1 ? 1 : 0]);
    }
    return blocks;
  }

  /** Functions of the product that have run since the last call, with their ranges. */
  #read(): [string, readonly Range[]][] {
    const { result } = this.#post('Profiler.takePreciseCoverage') as { result: ScriptCoverage[] };
    return result
      .filter(({ url }) => url.includes('/dist/') && !url.includes('/dist/test/'))
      .flatMap(({ url, functions }) =>
        functions
          .filter(({ ranges }) => ranges[0]!.count > 0)
          .map(({ ranges }): [string, readonly Range[]] => [
            `${url.slice(url.indexOf('/dist/') + 6)}:${ranges[0]!.startOffset}`,
            ranges,
          ]),
      );
  }

  #function(key: string, { startOffset, endOffset }: Range): FunctionBlocks {
    const known = this.#functions.get(key);
    if (known !== undefined) return known;
    const blocks = { start: startOffset, ran: new Uint8Array(endOffset - startOffset), edges: new Set<number>() };
    this.#functions.set(key, blocks);
    return blocks;
  }

  /** In one's own process the answer is there when `post` returns. */
  #post(method: string, parameters: object = {}): unknown {
    let answer: unknown;
    this.#session.post(method, parameters, (error, result) => {
      if (error !== null) throw new Error(`${method}: ${error.message}`);
      answer = result;
    });
    return answer;
  }
}

/** How many blocks have run in `mine`, counted by the edges that both know. */
export function countBlocks(mine: Blocks, others: Blocks): number {
  let count = 0;
  for (const [key, blocks] of Object.entries(mine)) {
    const edges = new Set([...blocks, ...(others[key] ?? [])].flatMap((block) => block.slice(0, 2)));
    for (const edge of edges) if (blocks.some(([start, end, ran]) => ran === 1 && start <= edge && edge < end)) count++;
  }
  return count;
}

/** 1 for each character of a function that has run. */
function flatten(ranges: readonly Range[]): Uint8Array {
  const { startOffset, endOffset } = ranges[0]!;
  const now = new Uint8Array(endOffset - startOffset);
  for (const range of ranges) {
    now.fill(range.count > 0 ? 1 : 0, range.startOffset - startOffset, range.endOffset - startOffset);
  }
  return now;
}
