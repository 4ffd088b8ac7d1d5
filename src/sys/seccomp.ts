/**
 * Programs for seccomp(2): which system calls a process may make, as the classic BPF that the kernel runs before each.
 *
 * The program, in this order:
 *
 * | instructions                        |                                                                                   |
 * | ----------------------------------- | --------------------------------------------------------------------------------- |
 * | another architecture than ours      | kills the process: other numbers mean other calls                                 |
 * | `conditional`, by their arguments   | first, since these are run through each time                                      |
 * | `allowed`, one comparison each      | the kernel remembers which calls these are (Linux 5.11), and does not run it again |
 * | `refused`, one comparison each      | an errno, as if the kernel did not let us, or did not have it                     |
 * | numbers beyond those that we know   | ENOSYS: whoever tries something so new can do without it                          |
 * | what is left                        | a trap: SIGSYS, whose handler names the call (native/sandbox.c)                   |
 *
 * Arguments are compared by their lower half: what is compared are descriptors, flags and numbers, of which the kernel takes no more. What a pointer
 * leads to can't be seen by a filter.
 */
import type { SystemCalls } from './system-calls.ts';

/** Holds when the argument, masked, is one of the values. */
export interface Condition {
  /** Counted from 0. */
  readonly argument: number;
  /** All bits unless said. */
  readonly mask?: number;
  readonly values: readonly number[];
}

export interface ConditionalCall {
  readonly call: string;
  /** Lets the call through when all conditions of one of these hold. */
  readonly when: readonly (readonly Condition[])[];
  /** An errno, or the trap. */
  readonly otherwise: number | 'trap';
}

/** Names that the architecture does not have are passed over. */
export interface CallPolicy {
  readonly allowed: readonly string[];
  readonly refused: readonly { readonly errno: number; readonly calls: readonly string[] }[];
  readonly conditional: readonly ConditionalCall[];
}

/** linux/seccomp.h; the lower 16 bits of ERRNO are the errno. */
export const SECCOMP_RET = {
  KILL_PROCESS: -0x80000000,
  TRAP: 0x00030000,
  ERRNO: 0x00050000,
  ALLOW: 0x7fff0000,
} as const;

/** linux/bpf_common.h: load a word of the call's data; the mask; comparisons with a constant; the end. */
export const BPF = {
  LOAD: 0x20,
  AND: 0x54,
  JUMP_EQUAL: 0x15,
  JUMP_NOT_BELOW: 0x35,
  JUMP_SET: 0x45,
  RETURN: 0x06,
} as const;

/** struct seccomp_data: number, architecture, instruction pointer (8 bytes), six arguments (8 bytes each, the lower half first). */
const DATA = { NUMBER: 0, ARCHITECTURE: 4, ARGUMENTS: 16 } as const;
const ARGUMENT_BYTES = 8;

/** Calls of the x32 interface come with x86-64's architecture, and this bit. Negative numbers have it too. */
const FOREIGN_BIT = 0x40000000;
const ENOSYS = 38;

/** The program as `seccompInstall` takes it: two words for each instruction, code, jt and jf in the first. */
export function assembleFilter(policy: CallPolicy, calls: SystemCalls): Int32Array {
  const program = new Program();
  program.load(DATA.ARCHITECTURE);
  program.unlessEqual(calls.architecture, () => program.end(SECCOMP_RET.KILL_PROCESS));
  program.load(DATA.NUMBER);
  program.whenSet(FOREIGN_BIT, () => program.end(SECCOMP_RET.KILL_PROCESS));
  const judge = (name: string, verdict: () => void): void => {
    const number = calls.numbers.get(name);
    if (number !== undefined) program.whenEqual(number, verdict);
  };
  for (const { call, when, otherwise } of policy.conditional) {
    judge(call, () => {
      for (const conditions of when) program.whenAll(conditions, () => program.end(SECCOMP_RET.ALLOW));
      program.end(otherwise === 'trap' ? SECCOMP_RET.TRAP : SECCOMP_RET.ERRNO | otherwise);
    });
  }
  for (const name of policy.allowed) judge(name, () => program.end(SECCOMP_RET.ALLOW));
  for (const { errno, calls: names } of policy.refused) {
    for (const name of names) judge(name, () => program.end(SECCOMP_RET.ERRNO | errno));
  }
  program.whenNotBelow(calls.names.length, () => program.end(SECCOMP_RET.ERRNO | ENOSYS));
  program.end(SECCOMP_RET.TRAP);
  return program.words();
}

/** What a jump skips is at most this long. */
const JUMP_MAX = 255;

class Program {
  readonly #words: number[] = [];

  words(): Int32Array {
    return Int32Array.from(this.#words);
  }

  load(offset: number): void {
    this.#add(BPF.LOAD, offset);
  }

  end(verdict: number): void {
    this.#add(BPF.RETURN, verdict);
  }

  whenEqual(value: number, then: () => void): void {
    const jump = this.#add(BPF.JUMP_EQUAL, value);
    then();
    this.#setJump(jump, 'no', this.#length);
  }

  unlessEqual(value: number, then: () => void): void {
    const jump = this.#add(BPF.JUMP_EQUAL, value);
    then();
    this.#setJump(jump, 'yes', this.#length);
  }

  whenSet(bits: number, then: () => void): void {
    const jump = this.#add(BPF.JUMP_SET, bits);
    then();
    this.#setJump(jump, 'no', this.#length);
  }

  whenNotBelow(value: number, then: () => void): void {
    const jump = this.#add(BPF.JUMP_NOT_BELOW, value);
    then();
    this.#setJump(jump, 'no', this.#length);
  }

  whenAll(conditions: readonly Condition[], then: () => void): void {
    const failing: number[] = [];
    for (const { argument, mask, values } of conditions) {
      this.load(DATA.ARGUMENTS + argument * ARGUMENT_BYTES);
      if (mask !== undefined) this.#add(BPF.AND, mask);
      const jumps = values.map((value) => this.#add(BPF.JUMP_EQUAL, value));
      for (const jump of jumps) this.#setJump(jump, 'yes', this.#length);
      // The last comparison that fails ends it; those before go on with the next.
      failing.push(jumps.at(-1)!);
    }
    then();
    for (const jump of failing) this.#setJump(jump, 'no', this.#length);
  }

  get #length(): number {
    return this.#words.length / 2;
  }

  /** Returns where the instruction is. */
  #add(code: number, operand: number): number {
    this.#words.push(code, operand | 0);
    return this.#length - 1;
  }

  /** Code has 16 bits, then come 8 for the jump taken and 8 for the one not taken. */
  #setJump(at: number, taken: 'yes' | 'no', to: number): void {
    const distance = to - at - 1;
    if (distance > JUMP_MAX) throw new RangeError('a jump of the filter is too long');
    this.#words[at * 2]! |= distance << (taken === 'yes' ? 16 : 24);
  }
}
