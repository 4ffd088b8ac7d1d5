/**
 * The machine that filters run on: programs of int32 words, in the manner of BPF but with instructions that do more, since here each one costs a switch.
 *
 * An instruction has 7 words, its operation first; jumps only go forward, to the index of a word or to one of the two ends, so every program ends.
 *
 * | operation      | 1      | 2        | 3        | 4        | 5    | 6   | does                                                          |
 * | -------------- | ------ | -------- | -------- | -------- | ---- | --- | ------------------------------------------------------------- |
 * | TEST8, TEST16  | at     | mask     | low      | high     | yes  | no  | jumps by low <= (bytes at `at` & mask) <= high                |
 * | TEST32         | at     | mask     | value    |          | yes  | no  | jumps by (bytes at `at` & mask) == value                      |
 * | PORT           | header | behind   | low      | high     | yes  | no  | like TEST16, `behind` the IPv4 header that begins at `header` |
 * | EQUAL ...      | left   | right    |          |          | yes  | no  | jumps by a comparison of registers, without sign              |
 * | SET            | to     | value    |          |          |      |     |                                                               |
 * | LENGTH         | to     |          |          |          |      |     | the frame's                                                   |
 * | LOAD8, 16, 32  | to     | at       | header   |          |      |     | from `at` + the register itself; behind the IPv4 header, too  |
 * | ADD ...        | to     | with     |          |          |      |     | `to` op `with`                                                |
 *
 * As in BPF a read outside of the packet, and a division by zero, end the program: the packet is refused, whatever stands around.
 */
export const INSTRUCTION_WORDS = 7;
export const REGISTERS = 16;

/** Where the operands stand that jump. */
export const YES_AT = 5;
export const NO_AT = 6;

export const ACCEPT = -1;
export const REFUSE = -2;

/** `header` of a load: there is none. */
export const NO_HEADER = -1;

export const TEST8 = 0;
export const TEST16 = 1;
export const TEST32 = 2;
export const PORT = 3;
export const EQUAL = 4;
export const GREATER = 5;
export const GREATER_OR_EQUAL = 6;
/** Operations from here on do not jump. */
export const SET = 7;
export const LENGTH = 8;
export const LOAD8 = 9;
export const LOAD16 = 10;
export const LOAD32 = 11;
export const ADD = 12;
export const SUBTRACT = 13;
export const MULTIPLY = 14;
export const DIVIDE = 15;
export const REMAINDER = 16;
export const AND = 17;
export const OR = 18;
export const XOR = 19;
export const SHIFT_LEFT = 20;
export const SHIFT_RIGHT = 21;

/** Whether the program accepts the `length` bytes from `start` on. `registers` are its own; what is in them is of no account. */
export function accepts(
  program: Int32Array,
  registers: Int32Array,
  view: DataView,
  start: number,
  length: number,
): boolean {
  let pc = 0;
  while (pc >= 0) {
    const operation = program[pc];
    const a = program[pc + 1];
    const b = program[pc + 2];
    switch (operation) {
      case TEST8: {
        if (a + 1 > length) return false;
        const value = view.getUint8(start + a) & b;
        pc = program[value >= program[pc + 3] && value <= program[pc + 4] ? pc + YES_AT : pc + NO_AT];
        continue;
      }
      case TEST16: {
        if (a + 2 > length) return false;
        const value = view.getUint16(start + a) & b;
        pc = program[value >= program[pc + 3] && value <= program[pc + 4] ? pc + YES_AT : pc + NO_AT];
        continue;
      }
      case TEST32: {
        if (a + 4 > length) return false;
        pc = program[(view.getInt32(start + a) & b) === program[pc + 3] ? pc + YES_AT : pc + NO_AT];
        continue;
      }
      case PORT: {
        if (a + 1 > length) return false;
        const at = a + headerBytes(view, start + a) + b;
        if (at + 2 > length) return false;
        const value = view.getUint16(start + at);
        pc = program[value >= program[pc + 3] && value <= program[pc + 4] ? pc + YES_AT : pc + NO_AT];
        continue;
      }
      case EQUAL:
        pc = program[registers[a] === registers[b] ? pc + YES_AT : pc + NO_AT];
        continue;
      case GREATER:
        pc = program[registers[a] >>> 0 > registers[b] >>> 0 ? pc + YES_AT : pc + NO_AT];
        continue;
      case GREATER_OR_EQUAL:
        pc = program[registers[a] >>> 0 >= registers[b] >>> 0 ? pc + YES_AT : pc + NO_AT];
        continue;
      case SET:
        registers[a] = b;
        break;
      case LENGTH:
        registers[a] = length;
        break;
      case LOAD8:
      case LOAD16:
      case LOAD32: {
        const at = place(view, start, length, registers[a], b, program[pc + 3]);
        const bytes = 1 << (operation - LOAD8);
        if (at < 0 || at + bytes > length) return false;
        registers[a] = load(view, start + at, bytes);
        break;
      }
      default: {
        if (registers[b] === 0 && (operation === DIVIDE || operation === REMAINDER)) return false;
        registers[a] = calculate(operation, registers[a], registers[b]);
      }
    }
    pc += INSTRUCTION_WORDS;
  }
  return pc === ACCEPT;
}

/** Of the IPv4 header at `at`, by what it says. */
function headerBytes(view: DataView, at: number): number {
  return (view.getUint8(at) & 0xf) << 2;
}

/** Where a load reads, from the start of the frame; -1: nowhere in it. An index beyond a header may be negative, one from the start of the frame may not. */
function place(view: DataView, start: number, length: number, index: number, at: number, header: number): number {
  if (header === NO_HEADER) return at + (index >>> 0);
  if (header + 1 > length) return -1;
  return at + ((headerBytes(view, start + header) + index) >>> 0);
}

function load(view: DataView, at: number, bytes: number): number {
  if (bytes === 1) return view.getUint8(at);
  return bytes === 2 ? view.getUint16(at) : view.getInt32(at);
}

function calculate(operation: number, left: number, right: number): number {
  switch (operation) {
    case ADD:
      return (left + right) | 0;
    case SUBTRACT:
      return (left - right) | 0;
    case MULTIPLY:
      return Math.imul(left, right);
    case DIVIDE:
      return ((left >>> 0) / (right >>> 0)) | 0;
    case REMAINDER:
      return ((left >>> 0) % (right >>> 0)) | 0;
    case AND:
      return left & right;
    case OR:
      return left | right;
    case XOR:
      return left ^ right;
    case SHIFT_LEFT:
      return right >>> 0 > 31 ? 0 : left << right;
    default:
      return right >>> 0 > 31 ? 0 : (left >>> right) | 0;
  }
}
