/** What people and programs write: filters, configurations, lines of `tapster ctl`. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { ARENA_BYTES } from '#tapster/base/limits.js';
import type { Random } from '#tapster/base/random.js';
import { splitLast } from '#tapster/cli/ctl/complete.js';
import { GRAMMAR, usageOf } from '#tapster/cli/ctl/grammar.js';
import { lineOfWords, readLine } from '#tapster/cli/ctl/line.js';
import type { Config } from '#tapster/config/config.js';
import { describeAction } from '#tapster/config/describe-action.js';
import { EMPTY_CONFIG } from '#tapster/config/empty-config.js';
import { parseConfig } from '#tapster/config/parse-config.js';
import { type Part, partsOf } from '#tapster/config/parts.js';
import { type Action, inverse, plan } from '#tapster/config/plan.js';
import { compileFilter, type PacketFilter } from '#tapster/packet/filter/compile.js';
import { Packets } from '#tapster/packet/packets.js';
import { frame, pick, repairFrame, VNET_BYTES } from '../frames.ts';
import { type ArenaView, guard } from '../guarded-view.ts';
import { concatenate, type FuzzTarget, joinByLength, splitByLength } from '../target.ts';

export const textTargets: readonly FuzzTarget[] = [
  {
    name: 'filter',
    about: 'any text is a filter or refused with its place; a filter stays within packets, and is as good with itself',
    bytesMax: 8192,
    millisecondsMax: 500,
    generate: (random) => joinByLength([filterText(random), ...Array.from({ length: 4 }, () => frame(random))]),
    split: splitByLength,
    join: joinByLength,
    repair: (part, random) => {
      // The first part is text; so may be what was cut of it.
      if (part.length > VNET_BYTES + 20 && part[0]! < 0x20) repairFrame(part, random);
    },
    run: runFilter,
  },
  {
    name: 'config',
    about: 'any text is a configuration or refused; plans lead from one to the other in order, and back',
    bytesMax: 4096,
    millisecondsMax: 1500,
    generate: (random) => encode(`${configText(random)}${BETWEEN}${configText(random)}`),
    split: splitLines,
    join: concatenate,
    run: runConfig,
  },
  {
    name: 'ctl-line',
    about: 'any line is a command or refused with its place; what Tab offers fits',
    bytesMax: 400,
    millisecondsMax: 500,
    generate: (random) => encode(commandLine(random)),
    split: (input) => splitBehind(input, 0x20),
    join: concatenate,
    run: (input) => readCommand(latin1(input)),
  },
];

// --- filters ---

const FILTER_WORDS: readonly string[] = [
  ...[
    'host',
    'net',
    'port',
    'portrange',
    'src',
    'dst',
    'src or dst',
    'ether',
    'ip',
    'ip6',
    'arp',
    'tcp',
    'udp',
    'icmp',
  ],
  ...['icmp6', 'and', 'or', 'not', '&&', '||', '!', '(', ')', '(', ')', 'broadcast', 'multicast', 'vlan', 'vlan 7'],
  ...['10.0.2.15', '198.51.100.7', '2001:db8::15', '10.0.0.0/8', 'mask 255.0.0.0', '02:00:00:00:00:01', '80', '1-100'],
  ...[
    'proto',
    'proto 6',
    'protochain 6',
    'less 100',
    'greater 64',
    'len',
    'gateway',
    'http',
    '=',
    '!=',
    '<',
    '>=',
    '&',
  ],
  ...[
    '|',
    '<<',
    '>>',
    '+',
    '-',
    '*',
    '/',
    '%',
    '^',
    '0',
    '1',
    '0xffffffff',
    '65536',
    '-1',
    'tcp[13]',
    'ip[2:2]',
    'ip6[40]',
  ],
  ...[
    'ether[0]',
    'tcp[tcpflags]',
    'tcp-syn',
    'icmp[icmptype]',
    'udp[4:2]',
    'tcp[1000:4]',
    'ip[len]',
    '[',
    ']',
    ':',
    '"',
    '\\',
  ],
];

const FILTERS: readonly string[] = [
  'tcp port 80 and host 10.0.2.15',
  'udp and (port 53 or 67)',
  'tcp[tcpflags] & (tcp-syn|tcp-fin) != 0',
  'ip6 and icmp6',
  'vlan 100 and ip',
  'net 10.0.0.0/8 or net 2001:db8::/32',
  'ip[6:2] & 0x1fff != 0 and not icmp',
  'len > 100 and ether[0] & 1 = 0',
  'tcp[((tcp[12]&0xf0)>>2):4] = 0x47455420',
];

function filterText(random: Random): Uint8Array {
  if (random.chance(0.4)) return encode(pick(random, FILTERS));
  return encode(Array.from({ length: random.between(1, 12) }, () => pick(random, FILTER_WORDS)).join(' '));
}

function runFilter(input: Uint8Array): void {
  const [bytes = new Uint8Array(0), ...frames] = splitByLength(input);
  const text = latin1(bytes);
  const compiled = compileFilter(text);
  if (!compiled.ok) {
    assert.match(compiled.failure.message, /column \d+|characters/, 'what is refused has a place');
    return;
  }
  // What stands behind `vlan` looks behind a tag: so it is another filter the second time.
  const twice = compileFilter(/vlan/i.test(text) ? text : `(${text}) and (${text})`);
  for (const each of frames) judge(each, compiled.value, twice.ok ? twice.value : compiled.value);
}

function judge(bytes: Uint8Array, filter: PacketFilter, twice: PacketFilter): void {
  const packets = new Packets(ARENA_BYTES_SMALL, 3);
  guard(packets);
  packets.allocate(40);
  const packet = packets.allocate(Math.max(0, bytes.length - VNET_BYTES));
  packets.bytes.set(bytes.subarray(VNET_BYTES), packets.start[packet]!);
  packets.allocate(40);
  (packets.view as ArenaView).sealed = true;
  const wanted = filter(packets, packet);
  assert.equal(typeof wanted, 'boolean');
  assert.equal(twice(packets, packet), wanted, 'a filter twice is that filter');
}

const ARENA_BYTES_SMALL: number = Math.min(ARENA_BYTES, 128 * 1024);

// --- configurations ---

/** Two configurations stand in one input. */
const BETWEEN = '\n%%\n';

/** What is valid, from the page that people read. */
const EXAMPLES: readonly string[] = [
  ...readFileSync(new URL('../../../../docs/config.md', import.meta.url), 'utf8').matchAll(/```yaml\n(.*?)```/gs),
].map((match) => match[1]!);

const ADDRESSES: readonly string[] = ['10.0.0.1/24', '10.0.1.1/24', 'fd00:a::1/64', '172.16.0.1/32', 'fe80::9/64'];
const SERVICES: readonly string[] = [
  'dhcp: {}',
  'dhcp: { pool: 10.0.0.100-10.0.0.199, lease: 5m, searchDomains: [lab] }',
  'ra: { interval: 10s, lifetime: 0s }',
  'dns: { servers: [192.0.2.53] }',
];
const ROUTES: readonly string[] = [
  '0.0.0.0/0, via: uplink',
  '"::/0", via: uplink',
  '10.9.0.0/16, via: 10.0.0.9',
  '10.8.0.0/16, via: [{ to: 10.0.0.9, weight: 2 }, 10.0.1.9]',
  '10.7.0.0/16, via: drop',
  'fd00:b::/64, via: "fe80::1%tap0"',
  '10.6.0.0/16, via: tap0',
];
const OTHERS: readonly string[] = [
  'neighbours: [{ interface: tap0, address: 10.0.0.9, mac: "02:00:00:00:00:09" }]',
  'logging: { level: debug }',
  'defaults: { taps: enabled, hostMtu: 1400 }',
  'x: &a [1, *a]',
  'y: { <<: *a, ? b : c }',
];

function configText(random: Random): string {
  if (random.chance(0.2)) return pick(random, EXAMPLES);
  const lines: string[] = ['interfaces:'];
  for (let tap = random.below(4); tap > 0; tap--) lines.push(...interfaceLines(random, `tap${tap - 1}`));
  lines.push('bridges:', '  lan:');
  lines.push(random.chance(0.5) ? '    bvi: { address: [10.5.0.1/24] }' : '    { ageing: 0s, learn: false }');
  if (random.chance(0.6)) lines.push('uplink: { translate: host }');
  lines.push('routes:', ...some(random, ROUTES, 0.3).map((route) => `  - { to: ${route} }`));
  lines.push(...some(random, OTHERS, 0.15));
  return lines.join('\n');
}

function interfaceLines(random: Random, name: string): string[] {
  const lines = [`  ${name}:`];
  if (random.chance(0.3)) lines.push('    bridge: lan', `    splitHorizonGroup: ${random.below(3)}`);
  else lines.push(`    address: [${some(random, ADDRESSES, 0.3).join(', ')}]`);
  lines.push(`    tap: { id: ${random.below(4)}, host: { namespace: ${pick(random, ['red', 'pid:1', '/x'])} } }`);
  if (random.chance(0.3)) lines.push(`    mtu: ${pick(random, ['1500', '9000', '575', '0x600', '1e3'])}`);
  if (random.chance(0.2)) lines.push('    vlans: { 100: { address: [10.2.0.1/24] }, 7: { bridge: lan } }');
  if (random.chance(0.3)) lines.push(`    services: { ${some(random, SERVICES, 0.4).join(', ')} }`);
  if (random.chance(0.2)) lines.push('    publish: ["8080:10.0.0.2:80", "5353:10.0.0.2:53/udp"]');
  if (random.chance(0.2)) lines.push(`    up: ${pick(random, ['true', 'false', 'no', '~'])}`);
  return lines;
}

function some<T>(random: Random, all: readonly T[], chance: number): T[] {
  return all.filter(() => random.chance(chance));
}

function runConfig(input: Uint8Array): void {
  const [first = '', second = ''] = decode(input).split(BETWEEN);
  const one = parsed(first) ?? EMPTY_CONFIG;
  const other = parsed(second) ?? EMPTY_CONFIG;
  assert.deepEqual(plan(one, one), [], 'what is so needs no plan');
  leads(one, other);
}

function parsed(text: string): Config | undefined {
  const read = parseConfig(text);
  if (read.ok) return read.value;
  assert.equal(read.failure.code, 'config-invalid');
  assert.ok(read.problems.length > 0, 'a refusal says why');
  const lines = text.split(/\r\n|\r|\n/).length;
  for (const { line, column, message } of read.problems) {
    assert.ok(line >= 0 && line <= lines && column >= 0, `line ${line}, column ${column} of ${lines} lines`);
    assert.ok(message.length > 0, 'a problem has words');
  }
  return undefined;
}

/** Doing what the plan says, one thing at a time, leads from the one to the other; undoing it leads back. */
function leads(from: Config, to: Config): void {
  const parts = partsOf(from);
  const actions = plan(from, to);
  for (const action of actions) take(parts, action);
  sameParts(parts, partsOf(to), 'a plan leads there');
  for (const action of actions.toReversed()) take(parts, inverse(action));
  sameParts(parts, partsOf(from), 'its inverse leads back');
}

function take(parts: Map<string, Part>, action: Action): void {
  const { part } = action;
  assert.ok(describeAction(action).length > 0);
  switch (action.do) {
    case 'add':
      assert.ok(!parts.has(part.key), `${part.key} is added once`);
      for (const need of part.needs) assert.ok(parts.has(need), `${part.key} is added behind ${need}`);
      parts.set(part.key, part);
      break;
    case 'remove':
      assert.ok(parts.delete(part.key), `${part.key} is there to be removed`);
      for (const { key, needs } of parts.values()) {
        assert.ok(!needs.includes(part.key), `${part.key} is removed behind ${key}`);
      }
      break;
    case 'change':
      assert.deepEqual(parts.get(part.key)?.contents, action.from.contents, `${part.key} is changed from what it is`);
      for (const need of part.needs) assert.ok(parts.has(need), `${part.key} is changed behind ${need}`);
      parts.set(part.key, part);
      break;
  }
}

function sameParts(left: ReadonlyMap<string, Part>, right: ReadonlyMap<string, Part>, message: string): void {
  assert.deepEqual([...left.keys()].sort(), [...right.keys()].sort(), message);
  for (const [key, { contents }] of left) assert.deepEqual(contents, right.get(key)?.contents, `${message}: ${key}`);
}

// --- lines of ctl ---

const USAGE_WORDS: readonly string[] = GRAMMAR.patterns.flatMap((pattern) =>
  usageOf(pattern)
    .split(/[\s[\]()|]+/)
    .filter((word) => word !== ''),
);
const LINE_VALUES: readonly string[] = [
  ...['tap0', 'tap0.100', 'bvi.lan', 'lan', '10.0.0.1', '10.0.0.0/24', 'fd00::1/64', '02:fe:00:00:00:01', '7', '0.5'],
  ...[
    '1500',
    '-1',
    '1e9',
    '"',
    "'",
    '"a b"',
    '#',
    '--json',
    '?',
    '\\',
    '\t',
    '\x1b[',
    '__proto__',
    'constructor',
    '8080:80',
  ],
];

function commandLine(random: Random): string {
  const words = random.chance(0.8) ? usageOf(pick(random, GRAMMAR.patterns)).split(/[\s[\]()|]+/) : [];
  for (let more = random.below(5); more > 0; more--) {
    const word = pick(random, random.chance(0.5) ? USAGE_WORDS : LINE_VALUES);
    words.splice(random.below(words.length + 1), random.below(2), word);
  }
  // Names of values in capitals are no values.
  return words.map((word) => (/^[A-Z]/.test(word) ? pick(random, LINE_VALUES) : word)).join(' ');
}

function readCommand(text: string): void {
  const line = readLine(text);
  const read = GRAMMAR.parse(line);
  if (!read.ok) {
    const { column, message, right } = read.error;
    assert.ok(column >= 1 && column <= text.length + 1, `column ${column} of ${text.length}`);
    assert.ok(message !== '' && right !== '', 'a refusal says what would be right');
  }
  GRAMMAR.parse(lineOfWords(text.split(' ')));
  const { before, partial } = splitLast(text);
  GRAMMAR.next(before, partial);
  for (const word of GRAMMAR.complete(before, partial).words) {
    const { words } = before;
    const offered = { text: word, column: before.end + 1, quoted: false };
    const then = GRAMMAR.parse({ ...before, words: [...words, offered], end: before.end + 2 + word.length });
    assert.ok(then.ok || then.error.column !== offered.column, `${word} is offered, but does not fit`);
  }
}

function splitLines(input: Uint8Array): Uint8Array[] {
  return splitBehind(input, 0x0a);
}

/** Parts that each end with that byte. */
function splitBehind(input: Uint8Array, byte: number): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < input.length; ) {
    const found = input.indexOf(byte, at);
    const end = found < 0 ? input.length : found + 1;
    parts.push(input.slice(at, end));
    at = end;
  }
  return parts;
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
