import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type OptionShape, readWords } from './getopt.ts';

const SHAPES: readonly OptionShape[] = [
  { long: 'foreground', short: 'f' },
  { long: 'quiet', short: 'q' },
  { long: 'mtu', short: 'm', value: 'MTU' },
  { long: 'no-dhcp' },
  { long: 'no-dhcpv6' },
  { long: 'no-map-gw' },
  { long: 'ipv4-only', short: '4' },
];

function read(args: readonly string[], operands: 'command' | 'anywhere' = 'anywhere'): string[] {
  return [...readWords(args, SHAPES, operands)].map((word) => {
    if (word.kind === 'option')
      return word.shape.value === undefined ? word.shape.long : `${word.shape.long}=${word.value}`;
    return word.kind === 'operand' ? `"${word.text}"` : `! ${word.message}`;
  });
}

describe('readWords', () => {
  it('reads options as getopt_long does', () => {
    const samples: [string, string[]][] = [
      ['-f', ['foreground']],
      ['-fq4', ['foreground', 'quiet', 'ipv4-only']],
      ['-m 9000', ['mtu=9000']],
      ['-m9000', ['mtu=9000']],
      ['-fm9000', ['foreground', 'mtu=9000']],
      ['-fm 9000 -q', ['foreground', 'mtu=9000', 'quiet']],
      ['-mf', ['mtu=f']],
      ['--mtu 9000', ['mtu=9000']],
      ['--mtu=9000', ['mtu=9000']],
      ['--mtu=', ['mtu=']],
      ['--mtu -5', ['mtu=-5']],
      ['--mtu --quiet', ['mtu=--quiet']],
      ['-m -q', ['mtu=-q']],
      ['--mtu=a=b', ['mtu=a=b']],
      ['--fore --no-m', ['foreground', 'no-map-gw']],
      ['--no-dhcp', ['no-dhcp']],
      ['--no-dhcpv', ['no-dhcpv6']],
      ['-q -q', ['quiet', 'quiet']],
      ['a -f b', ['"a"', 'foreground', '"b"']],
      ['-f -- -q --', ['foreground', '"-q"', '"--"']],
      ['- -f', ['"-"', 'foreground']],
    ];
    for (const [line, words] of samples) assert.deepEqual(read(line.split(' ')), words, line);
  });

  it('tells mistakes as getopt_long does, and stops there', () => {
    const samples: [string, string[]][] = [
      ['--bogus -f', ["! unrecognized option '--bogus'"]],
      ['--bogus=1', ["! unrecognized option '--bogus'"]],
      ['-fZq', ['foreground', "! invalid option -- 'Z'"]],
      ['--mtu', ["! option '--mtu' requires an argument"]],
      ['-fm', ['foreground', "! option requires an argument -- 'm'"]],
      ['--quiet=1', ["! option '--quiet' doesn't allow an argument"]],
      ['--no-d', ["! option '--no-d' is ambiguous; possibilities: '--no-dhcp' '--no-dhcpv6'"]],
    ];
    for (const [line, words] of samples) assert.deepEqual(read(line.split(' ')), words, line);
  });

  it('leaves a command and its options alone', () => {
    assert.deepEqual(read(['-f', 'ls', '-q', '--', '--bogus'], 'command'), [
      'foreground',
      '"ls"',
      '"-q"',
      '"--"',
      '"--bogus"',
    ]);
    assert.deepEqual(read(['-f', '--', 'ls', '--', '-q'], 'command'), ['foreground', '"ls"', '"--"', '"-q"']);
  });

  it('loses no word and never throws', () => {
    const word = fc.oneof(
      fc.constantFrom('-f', '-m', '--mtu', '--mtu=1', '--', '-', 'x', '-fq', '--no-d'),
      fc.string(),
    );
    fc.assert(
      fc.property(
        fc.array(word),
        fc.constantFrom<('command' | 'anywhere')[]>('command', 'anywhere'),
        (args, operands) => {
          const words = [...readWords(args, SHAPES, operands)];
          const mistakes = words.filter(({ kind }) => kind === 'mistake');
          assert.ok(mistakes.length <= 1);
          if (mistakes.length === 1) assert.equal(words.at(-1), mistakes[0]);
          const operandTexts = words.flatMap((each) => (each.kind === 'operand' ? [each.text] : []));
          for (const text of operandTexts) assert.ok(args.includes(text));
        },
      ),
    );
  });
});
