/** The benchmarks' arithmetic: medians, ratios within a round, turns, and candidates that fail. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

interface Candidate {
  readonly name: string;
  measure(): Promise<{ value: number } | { failed: string }>;
}

interface Result {
  readonly candidates: readonly {
    readonly name: string;
    readonly values: readonly number[];
    readonly median?: number;
    readonly least?: number;
    readonly most?: number;
    readonly ratios: Readonly<Record<string, number>>;
    readonly failures: readonly string[];
  }[];
  readonly goals: readonly { readonly measured?: number; readonly opponent?: string; readonly reached: boolean }[];
}

interface Harness {
  runCase(benchmark: string, asked: object, rounds: number, progress: (text: string) => void): Promise<Result>;
}

interface Statistics {
  median(values: readonly number[]): number | undefined;
  medianRatio(a: readonly (number | undefined)[], b: readonly (number | undefined)[]): number | undefined;
}

interface Path {
  deoptimizedFunctions(trace: string): string[];
}

// The suite is a project of its own, which this one does not build upon.
const { runCase } = (await load('harness')) as Harness;
const { median, medianRatio } = (await load('statistics')) as Statistics;
const { deoptimizedFunctions } = (await load('path')) as Path;

describe('medians', () => {
  it('are the middle of the values, by size', () => {
    assert.equal(median([]), undefined);
    assert.equal(median([7]), 7);
    assert.equal(median([10, 9, 100]), 10);
    assert.equal(median([4, 1, 3, 2]), 2.5);
  });

  it('of ratios are taken within rounds, where both have a value', () => {
    assert.equal(medianRatio([1, 10, 100], [2, 20, 200]), 0.5);
    assert.equal(medianRatio([1, undefined, 9], [2, 20, 3]), 1.75);
    assert.equal(medianRatio([1, 2], [undefined, 0]), undefined);
  });
});

describe("V8's trace", () => {
  it('names the functions that were deoptimized', () => {
    const trace = `[bailout (kind: deopt-eager, reason: not a Smi): begin. deoptimizing 0x2b3c <JSFunction markWarm (sfi = 0x1f)>, 0x3 <Code TURBOFAN>, opt id 5]
[bailout (kind: deopt-lazy, reason: (unknown)): begin. deoptimizing 0x9a <JSFunction #arc>, opt id 6]
[bailout end. took 0.1 ms]`;
    assert.deepEqual(deoptimizedFunctions(trace), ['markWarm', '#arc']);
    assert.deepEqual(deoptimizedFunctions(''), []);
  });
});

describe('a case', () => {
  it('asks each candidate once a round, each round another one first, and judges by the ratio', async () => {
    const asked: string[] = [];
    const result = await ask([steady('a', 4, asked), steady('b', 2, asked), steady('c', 1, asked)], 3);
    assert.equal(asked.join(''), 'abcbcacab');
    const [a, b] = result.candidates;
    assert.deepEqual([a?.median, a?.least, a?.most], [4, 4, 4]);
    assert.deepEqual(b?.ratios, { a: 0.5, c: 2 });
    assert.deepEqual(
      result.goals.map(({ measured, reached }) => [measured, reached]),
      [
        [0.5, true],
        [0.25, false],
      ],
    );
  });

  it('judges against the best of several, and by a value', async () => {
    const steadyOnes = [steady('a', 4, []), steady('b', 2, []), steady('c', 1, [])];
    const goals = [
      { candidate: 'b', against: ['c', 'a'], limit: 0.5 },
      { candidate: 'b', against: ['c', 'nobody'], limit: 3 },
      { candidate: 'b', against: ['nobody'], limit: 1 },
      { candidate: 'b', against: [], limit: 2 },
    ];
    const result = await ask(steadyOnes, 1, goals);
    assert.deepEqual(
      result.goals.map(({ measured, opponent, reached }) => [measured, opponent, reached]),
      [
        [0.5, 'a', true],
        [2, 'c', false],
        [undefined, undefined, false],
        [2, undefined, true],
      ],
    );
    const uneven = { name: 'b', measure: async () => ({ value: values.shift() ?? 0 }) };
    const values = [0, 7, 0];
    const all = { candidate: 'b', against: [], limit: 0 };
    const rounds = await ask([uneven], 3, [all, { ...all, everyRound: true }], 'less');
    assert.deepEqual(
      rounds.goals.map(({ measured, reached }) => [measured, reached]),
      [
        [0, true],
        [7, false],
      ],
    );
    const less = await ask(steadyOnes, 1, goals.slice(0, 1), 'less');
    assert.deepEqual([less.goals[0]?.measured, less.goals[0]?.opponent, less.goals[0]?.reached], [2, 'c', false]);
  });

  it('gives a candidate up that fails twice, and keeps why', async () => {
    const asked: string[] = [];
    const broken: Candidate = {
      name: 'b',
      measure: async () => {
        asked.push('b');
        return { failed: 'it hangs' };
      },
    };
    const result = await ask([steady('a', 4, asked), broken], 4);
    assert.equal(asked.filter((name) => name === 'b').length, 2);
    assert.equal(asked.filter((name) => name === 'a').length, 4);
    const [, b] = result.candidates;
    assert.deepEqual([b?.values, b?.median, b?.ratios, b?.failures], [[], undefined, {}, ['it hangs', 'it hangs']]);
    assert.deepEqual(
      result.goals.map(({ reached }) => reached),
      [false, false],
    );
  });
});

const GOALS = [
  { candidate: 'b', against: ['a'], limit: 0.5 },
  { candidate: 'c', against: ['a'], limit: 0.3 },
];

function ask(
  candidates: readonly Candidate[],
  rounds: number,
  goals: readonly object[] = GOALS,
  better = 'more',
): Promise<Result> {
  const asked = { name: 'case', unit: 'things', better, reference: 'a', candidates, goals };
  return runCase('benchmark', asked, rounds, () => {});
}

function steady(name: string, value: number, asked: string[]): Candidate {
  return {
    name,
    measure: async () => {
      asked.push(name);
      return { value };
    },
  };
}

function load(module: string): Promise<unknown> {
  return import(new URL(`../bench/${module}.js`, import.meta.url).href);
}
