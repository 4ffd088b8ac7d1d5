import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { FILTER_TEXT_MAX } from '../../base/limits.ts';
import { Packets } from '../packets.ts';
import { compileFilter } from './compile.ts';
import { generate } from './generate.ts';
import { framesOf } from './packets-fixture.test.ts';
import { parseFilter } from './parser.ts';
import { ACCEPT, accepts, INSTRUCTION_WORDS, NO_AT, REFUSE, REGISTERS, SET, YES_AT } from './program.ts';
import { tokensOf } from './tokens.ts';
import { LEADING_WORDS, NAMED_NUMBERS, SERVICES } from './words.ts';

const FRAMES = framesOf(7, 60);

/** What is wrong, with its column. */
function mistake(text: string): string {
  const result = compileFilter(text);
  assert.ok(!result.ok, text);
  assert.equal(result.failure.code, 'filter-invalid');
  return result.failure.message.replace(/^filter ".*", column /, '');
}

/** Words of the language with some that are not, in any order. */
const sentences = fc
  .array(
    fc.constantFrom(
      ...LEADING_WORDS,
      ...[
        'and',
        'or',
        '(',
        ')',
        '[',
        ']',
        ':',
        '=',
        '!=',
        '<',
        '&',
        '|',
        '<<',
        '-',
        '/',
        '%',
        '*',
        '\\tcp',
        'tpc',
        '$',
      ],
      ...[
        '1',
        '80',
        '0x11',
        '4294967295',
        '10.0.0.1',
        '10.0',
        '::1',
        'fd00::/64',
        '02:00:00:00:00:01',
        '20-30',
        'http',
      ],
      ...NAMED_NUMBERS.keys(),
    ),
    { maxLength: 25 },
  )
  .map((words) => words.join(' '));

/** Filters that are right. */
const filters = fc.letrec<{ filter: string; number: string; primitive: string }>((tie) => ({
  filter: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    tie('primitive'),
    fc
      .tuple(tie('filter'), fc.constantFrom('and', 'or'), tie('filter'))
      .map(([a, operator, b]) => `(${a}) ${operator} (${b})`),
    tie('filter').map((filter) => `not (${filter})`),
  ),
  primitive: fc.oneof(
    fc.constantFrom('tcp', 'port 80', 'vlan', 'host fd00:a::1', 'net 10', 'icmp6', 'portrange 1-99', 'ip broadcast'),
    fc.tuple(tie('number'), fc.constantFrom('=', '<', '>='), tie('number')).map((parts) => parts.join(' ')),
  ),
  number: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.nat(0xffff_ffff).map(String),
    fc.constant('len'),
    fc
      .tuple(fc.constantFrom('ether', 'ip', 'tcp', 'icmp6', 'udp', 'arp'), tie('number'), fc.constantFrom(1, 2, 4))
      .map(([layer, index, bytes]) => `${layer}[${index}:${bytes}]`),
    fc
      .tuple(tie('number'), fc.constantFrom('+', '-', '*', '&', '|', '^'), tie('number'))
      .map(([a, operator, b]) => `(${a} ${operator} ${b})`),
  ),
}));

describe('compileFilter', () => {
  it('accepts everything without text', () => {
    for (const text of ['', '  \n\t ']) {
      const filter = compileFilter(text);
      assert.ok(filter.ok && filter.value(new Packets(65_536, 1), new Packets(65_536, 1).allocate(0)));
    }
  });

  it('says where a mistake is, what was expected, and what may have been meant', () => {
    assert.match(mistake('tcp prot 80'), /^5: "prot" is unexpected: expected .*: did you mean "port"\?$/);
    assert.equal(mistake('hots 10.0.0.1'), '1: "hots" is unknown: did you mean "host"?');
    assert.match(mistake('port htpp'), /^6: .* instead of "htpp": did you mean "http"\?$/);
    assert.match(mistake('ip proto upd'), /^10: .*: did you mean "udp"\?$/);
    assert.match(mistake('tcp and'), /^8: the filter ends here: expected a keyword/);
    assert.match(mistake('(tcp or udp'), /^12: the filter ends here: expected "\)"/);
    assert.match(mistake('tcp) or udp'), /^4: "\)" is unexpected/);
    assert.match(mistake('tcp \u001b'), /^5: "\\u001b" has no meaning here$/);
  });

  it('tells what would be right', () => {
    assert.match(mistake('10.0.0.1'), /write "host 10\.0\.0\.1"$/);
    assert.match(mistake('fd00::/8'), /write "net fd00::\/8"$/);
    assert.match(mistake('host 10.0.0.0/8'), /write "net 10\.0\.0\.0\/\.\.\."$/);
    assert.match(mistake('host 10.1'), /write "net 10\.1"$/);
    assert.match(mistake('tcp or 443'), /^8: .* write "port 443"$/);
    assert.match(mistake('host 02:00:00:00:00:01'), /write "ether host 02:00:00:00:00:01"$/);
    assert.match(mistake('tcp host 10.0.0.1'), /write "tcp and host 10\.0\.0\.1"$/);
    assert.match(mistake('port 80-90'), /write "portrange 80-90"$/);
    assert.match(mistake('udp port http'), /http is a service of tcp, not of udp; write the number 80$/);
    assert.match(mistake('len-20 = 0'), /a minus wants blanks around it$/);
    assert.match(mistake('host example.org'), /names are not looked up$/);
    assert.match(mistake('ip6 protochain 6'), /^5: "protochain" is not supported: chains of IPv6 headers/);
    assert.match(mistake('inbound'), /directions beside its filter/);
  });

  it('knows the bounds of values', () => {
    for (const text of [
      'port 65536',
      'vlan 4096',
      'ip proto 256',
      'ether proto 65536',
      'net 10.0.0.0/33',
      'net ::/129',
    ]) {
      mistake(text);
    }
    for (const text of [
      'host 10.0.0.256',
      'host fd00:::1',
      'net 10.0.0.1/8',
      'net fd00::1/64',
      '089 = len',
      'tcp[0:3] = 1',
    ]) {
      mistake(text);
    }
    for (const text of ['1 / 0 = 1', 'len % 0 = 1', '1 << 32 = 1', '4294967296 = len', 'src proto 6']) mistake(text);
  });

  it('bounds its text and its depth', () => {
    const long = compileFilter('x'.repeat(FILTER_TEXT_MAX + 1));
    assert.equal(long.ok ? '' : long.failure.code, 'filter-too-long');
    assert.match(mistake('not '.repeat(1000)), /nested more than 64 deep/);
    assert.match(mistake('('.repeat(2000)), /nested more than 64 deep/);
    assert.match(mistake(`${'-'.repeat(2000)}1 = 1`), /nested more than 64 deep/);
    assert.match(mistake(`ip${'[ip'.repeat(1000)}`), /nested more than 64 deep/);
    assert.match(mistake(`${'1+('.repeat(20)}1${')'.repeat(20)} = 1`), /open operands/);
    assert.ok(compileFilter(`port ${'1 or '.repeat(800)}1`).ok);
  });

  it('never throws, whatever the text', () => {
    const tryOut = (text: string): void => void compileFilter(text);
    fc.assert(fc.property(fc.oneof(sentences, fc.string({ unit: 'binary' })), tryOut), { numRuns: 3000 });
  });

  it('never reads outside of the packet, and only jumps forward', () => {
    const registers = new Int32Array(REGISTERS);
    const check = (text: string): void => {
      const program = generate(parseFilter(tokensOf(text)));
      for (let pc = 0; pc < program.length; pc += INSTRUCTION_WORDS) {
        if (program[pc] >= SET) continue;
        for (const target of [program[pc + YES_AT], program[pc + NO_AT]]) {
          assert.ok(target > pc || target === ACCEPT || target === REFUSE);
        }
      }
      // A read outside of a view throws.
      for (const frame of FRAMES) accepts(program, registers, new DataView(frame.slice().buffer), 0, frame.length);
    };
    fc.assert(fc.property(filters.filter, check), { numRuns: 300 });
  });

  it('knows services by name', () => {
    for (const name of SERVICES.keys()) assert.ok(compileFilter(`port ${name}`).ok, name);
  });

  it('does not ask for the EtherType again', () => {
    const program = generate(parseFilter(tokensOf('ip and tcp port 80')));
    const yes = program[YES_AT];
    assert.equal(program[yes + 1], 23, 'from the EtherType to the protocol');
  });
});
