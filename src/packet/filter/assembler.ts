/**
 * Programs from tests: a test is told where to go when it holds and when it does not, and appends its instructions. `all`, `any` and `inverse` make tests of tests
 * without an instruction of their own.
 */
import { INSTRUCTION_WORDS, NO_AT, SET, TEST16, YES_AT } from './program.ts';

/** A place in the program, or one of its two ends. */
export type Label = number;

export type Test = (assembler: Assembler, yes: Label, no: Label) => void;

export class Assembler {
  readonly #words: number[] = [];
  /** By label, the word that it stands for. */
  readonly #places: number[] = [];

  label(): Label {
    return this.#places.push(-1) - 1;
  }

  place(label: Label): void {
    this.#places[label] = this.#words.length;
  }

  /** An instruction that jumps. */
  jump(operation: number, operands: readonly number[], yes: Label, no: Label): void {
    const [a = 0, b = 0, c = 0, d = 0] = operands;
    this.#words.push(operation, a, b, c, d, yes, no);
  }

  step(operation: number, a: number, b: number = 0, c: number = 0): void {
    this.#words.push(operation, a, b, c, 0, 0, 0);
  }

  /** The program, each jump to the place of its label. Where `threadAt` is tested again though the answer is known, jumps go past it. */
  finish(): Int32Array {
    const program = Int32Array.from(this.#words);
    for (let pc = 0; pc < program.length; pc += INSTRUCTION_WORDS) {
      if (program[pc] >= SET) continue;
      program[pc + YES_AT] = this.#target(program[pc + YES_AT]);
      program[pc + NO_AT] = this.#target(program[pc + NO_AT]);
    }
    threadJumps(program);
    return program;
  }

  #target(label: Label): number {
    return label < 0 ? label : this.#places[label];
  }
}

export function all(...tests: readonly Test[]): Test {
  return (assembler, yes, no) => chain(assembler, tests, yes, (test, next) => test(assembler, next, no));
}

export function any(...tests: readonly Test[]): Test {
  return (assembler, yes, no) => chain(assembler, tests, no, (test, next) => test(assembler, yes, next));
}

export function inverse(test: Test): Test {
  return (assembler, yes, no) => test(assembler, no, yes);
}

/** Each test goes on to the one behind it, the last one to `end`. */
function chain(
  assembler: Assembler,
  tests: readonly Test[],
  end: Label,
  append: (test: Test, next: Label) => void,
): void {
  tests.forEach((test, i) => {
    const next = i === tests.length - 1 ? end : assembler.label();
    append(test, next);
    if (next !== end) assembler.place(next);
  });
}

const WHOLE = 0xffff;

/**
 * Most of what is tested is the EtherType, again and again: `ip or ip6`, each part of `port 80`. Once a test has found it, jumps go past those that would only find it
 * again. Nothing is known where ways of different knowledge meet. All jumps go forward, so one pass sees all ways to a place before the place.
 */
function threadJumps(program: Int32Array): void {
  const instructions = program.length / INSTRUCTION_WORDS;
  /** By instruction, what is known there: a place in the frame (-1: none; -2: nobody came yet), and the 16 bits in it. */
  const knownAt = new Int32Array(instructions).fill(-2);
  const knownValue = new Int32Array(instructions);
  const arrive = (target: number, at: number, value: number): void => {
    if (target < 0 || target === program.length) return;
    const i = target / INSTRUCTION_WORDS;
    if (knownAt[i] === -2) {
      knownAt[i] = at;
      knownValue[i] = value;
    } else if (knownAt[i] !== at || knownValue[i] !== value) {
      knownAt[i] = -1;
    }
  };
  if (instructions > 0) knownAt[0] = -1;
  for (let i = 0; i < instructions; i++) {
    const pc = i * INSTRUCTION_WORDS;
    if (knownAt[i] === -2) continue;
    if (program[pc] >= SET) {
      arrive(pc + INSTRUCTION_WORDS, knownAt[i], knownValue[i]);
      continue;
    }
    for (const jump of [pc + YES_AT, pc + NO_AT]) {
      const finds = jump === pc + YES_AT && isEquality(program, pc);
      const at = finds ? program[pc + 1] : knownAt[i];
      const value = finds ? program[pc + 3] : knownValue[i];
      program[jump] = past(program, program[jump], at, value);
      arrive(program[jump], at, value);
    }
  }
}

function isEquality(program: Int32Array, pc: number): boolean {
  return program[pc] === TEST16 && program[pc + 2] === WHOLE && program[pc + 3] === program[pc + 4];
}

/** Where a jump to `target` ends up with this knowledge. */
function past(program: Int32Array, target: number, at: number, value: number): number {
  let pc = target;
  while (pc >= 0 && isEquality(program, pc) && program[pc + 1] === at) {
    pc = program[program[pc + 3] === value ? pc + YES_AT : pc + NO_AT];
  }
  return pc;
}
