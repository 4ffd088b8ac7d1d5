/** Runs a filter as the kernel does (Documentation/networking/filter.rst), for tests. */
import { BPF } from './seccomp.ts';

export interface Call {
  readonly number: number;
  readonly architecture: number;
  readonly arguments: readonly number[];
}

/** Returns the verdict. */
export function runFilter(program: Int32Array, call: Call): number {
  const data = new Int32Array(16);
  data[0] = call.number;
  data[1] = call.architecture;
  for (const [i, argument] of call.arguments.entries()) data[4 + 2 * i] = argument;
  let accumulator = 0;
  for (let at = 0; at < program.length / 2; ) {
    const head = program[at * 2]!;
    const [code, taken, other] = [head & 0xffff, (head >>> 16) & 0xff, head >>> 24];
    const operand = program[at * 2 + 1]!;
    const jump = (holds: boolean): number => 1 + (holds ? taken : other);
    if (code === BPF.RETURN) return operand;
    if (code === BPF.LOAD) accumulator = data[operand / 4]!;
    if (code === BPF.AND) accumulator &= operand;
    if (code === BPF.JUMP_EQUAL) at += jump(accumulator === operand);
    else if (code === BPF.JUMP_NOT_BELOW) at += jump(accumulator >>> 0 >= operand >>> 0);
    else if (code === BPF.JUMP_SET) at += jump((accumulator & operand) !== 0);
    else at++;
  }
  throw new Error('the filter has no end');
}
