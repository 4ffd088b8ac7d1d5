/**
 * Relations as tests. Expressions are calculated in registers, each operand one register above the one before. A header's bytes are read only where the header is:
 * tests for that come before all calculation, and a relation does not hold where one of them fails.
 */
import { type Assembler, all, type Test } from './assembler.ts';
import { byte, ETHERTYPE_IP4, ETHERTYPE_IP6, type Frame, IP6_HEADER_BYTES, IP6_NEXT_HEADER_AT } from './frame-tests.ts';
import * as machine from './program.ts';
import { type Arithmetic, FilterMistake, type Layer, type Operator, type Relation } from './syntax.ts';
import { IP_PROTOCOLS } from './words.ts';

const OPERATIONS: Readonly<Record<Operator, number>> = {
  '+': machine.ADD,
  '-': machine.SUBTRACT,
  '*': machine.MULTIPLY,
  '/': machine.DIVIDE,
  '%': machine.REMAINDER,
  '&': machine.AND,
  '|': machine.OR,
  '^': machine.XOR,
  '<<': machine.SHIFT_LEFT,
  '>>': machine.SHIFT_RIGHT,
};

const LOADS: Readonly<Record<1 | 2 | 4, number>> = { 1: machine.LOAD8, 2: machine.LOAD16, 4: machine.LOAD32 };

const COMPARISONS: Readonly<Record<Relation, { readonly operation: number; readonly negated: boolean }>> = {
  '=': { operation: machine.EQUAL, negated: false },
  '!=': { operation: machine.EQUAL, negated: true },
  '>': { operation: machine.GREATER, negated: false },
  '<=': { operation: machine.GREATER, negated: true },
  '>=': { operation: machine.GREATER_OR_EQUAL, negated: false },
  '<': { operation: machine.GREATER_OR_EQUAL, negated: true },
};

const LINK_LAYERS: Readonly<Partial<Record<Layer, number>>> = {
  ip: ETHERTYPE_IP4,
  ip6: ETHERTYPE_IP6,
  arp: 0x0806,
  rarp: 0x8035,
};

const ICMP6 = 58;

export function relationTest(frame: Frame, operator: Relation, left: Arithmetic, right: Arithmetic): Test {
  const compare: Test = (assembler, yes, no) => {
    calculate(assembler, frame, left, 0);
    calculate(assembler, frame, right, 1);
    const { operation, negated } = COMPARISONS[operator];
    assembler.jump(operation, [0, 1], negated ? no : yes, negated ? yes : no);
  };
  return all(...presence(frame, left), ...presence(frame, right), compare);
}

/** Leaves the value in register `to`; those above are used. */
function calculate(assembler: Assembler, frame: Frame, expression: Arithmetic, to: number): void {
  if (to >= machine.REGISTERS) {
    throw new FilterMistake(0, `an expression has more than ${machine.REGISTERS} open operands; use fewer parentheses`);
  }
  switch (expression.kind) {
    case 'number':
      assembler.step(machine.SET, to, expression.value | 0);
      break;
    case 'length':
      assembler.step(machine.LENGTH, to);
      break;
    case 'load': {
      calculate(assembler, frame, expression.index, to);
      const { at, header } = placeOf(frame, expression.layer);
      assembler.step(LOADS[expression.bytes], to, at, header);
      break;
    }
    case 'binary':
      calculate(assembler, frame, expression.left, to);
      calculate(assembler, frame, expression.right, to + 1);
      assembler.step(OPERATIONS[expression.operator], to, to + 1);
  }
}

function placeOf(frame: Frame, layer: Layer): { readonly at: number; readonly header: number } {
  if (layer === 'ether') return { at: 0, header: machine.NO_HEADER };
  if (layer in LINK_LAYERS) return { at: frame.network, header: machine.NO_HEADER };
  if (layer === 'icmp6') return { at: frame.network + IP6_HEADER_BYTES, header: machine.NO_HEADER };
  return { at: frame.network, header: frame.network };
}

/** Tests for the headers that the expression reads. */
function presence(frame: Frame, expression: Arithmetic): Test[] {
  switch (expression.kind) {
    case 'load':
      return [...presence(frame, expression.index), ...layerTests(frame, expression.layer)];
    case 'binary':
      return [...presence(frame, expression.left), ...presence(frame, expression.right)];
    default:
      return [];
  }
}

function layerTests(frame: Frame, layer: Layer): Test[] {
  const etherType = LINK_LAYERS[layer];
  if (layer === 'ether') return [];
  if (etherType !== undefined) return [frame.etherType(etherType)];
  if (layer === 'icmp6') {
    return [frame.etherType(ETHERTYPE_IP6), byte(frame.network + IP6_NEXT_HEADER_AT, ICMP6)];
  }
  return [frame.protocol('ip', IP_PROTOCOLS.get(layer) ?? 0), frame.notLaterFragment()];
}
