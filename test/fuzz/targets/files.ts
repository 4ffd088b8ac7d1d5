/** What is read from files, from the kernel, and from the command line. */
import assert from 'node:assert/strict';
import {
  formatIpAddress,
  formatIpPrefix,
  formatMacAddress,
  parseIpAddress,
  parseIpPrefix,
  parseMacAddress,
} from '#tapster/base/address.js';
import type { Random } from '#tapster/base/random.js';
import { parseDnsAddress, parseGateway, parseHostLoopback, parseInterfaceAddress } from '#tapster/cli/parse/address.js';
import { parseInterfaceName } from '#tapster/cli/parse/interface-name.js';
import { parseMac } from '#tapster/cli/parse/mac.js';
import { parseMaxFlows, parseMtu } from '#tapster/cli/parse/number.js';
import { parsePublish } from '#tapster/cli/parse/publish.js';
import { PUBLISHED_PORTS_MAX } from '#tapster/config/publish.js';
import { NameTable } from '#tapster/flow/names.js';
import { readPcap } from '#tapster/packet/pcap.js';
import { readPcapng } from '#tapster/packet/pcapng-read.js';
import {
  type Attributes,
  attributeAddress,
  attributeMac,
  attributeText,
  attributeUint8,
  attributeUint32,
  nestedAttributes,
  readAttributes,
  readMessages,
} from '#tapster/sys/netlink/message.js';
import { parseResolvConf, renderResolvConf } from '#tapster/sys/resolv-conf.js';
import { WindowView } from '../guarded-view.ts';
import { dnsMessage } from '../messages.ts';
import { concatenate, type FuzzTarget, joinByLength, splitByLength } from '../target.ts';

export const fileTargets: readonly FuzzTarget[] = [
  {
    name: 'pcap',
    about: 'a pcap file is read, or refused; records lie in the file',
    bytesMax: 4096,
    millisecondsMax: 500,
    generate: pcap,
    run: (input) => {
      const read = readPcap(input);
      if (!read.ok) return;
      const bytes = read.value.records.reduce((sum, { frame }) => sum + frame.length + 16, 24);
      assert.ok(bytes <= input.length, 'records do not overlap');
    },
  },
  {
    name: 'pcapng',
    about: 'a pcapng file is read, or refused; packets lie in the file',
    bytesMax: 4096,
    millisecondsMax: 500,
    generate: pcapng,
    run: (input) => {
      const read = readPcapng(input);
      if (!read.ok) return;
      const bytes = read.value.packets.reduce((sum, { frame }) => sum + frame.length + 32, 0);
      assert.ok(bytes <= input.length, 'packets do not overlap');
      assert.ok(read.value.names.length + read.value.interfaces.length <= input.length / 4, 'no more than there is');
    },
  },
  {
    name: 'netlink',
    about: 'messages and attributes of the kernel stay within their datagram',
    bytesMax: 2048,
    millisecondsMax: 500,
    generate: netlink,
    run: (input) => {
      for (const { view, at, end } of readMessages(input)) {
        assert.ok(at <= end && end <= input.length, 'a message is in its datagram');
        for (const struct of [0, 8, 12, 16]) {
          if (at + struct <= end) readAll(readAttributes(view, at + struct, end));
        }
      }
    },
  },
  {
    name: 'resolv-conf',
    about: 'any text is read; what is written of it is read as the same',
    bytesMax: 4096,
    millisecondsMax: 500,
    generate: (random) => text(random, RESOLV_WORDS, 30),
    run: (input) => {
      const conf = parseResolvConf(latin1(input), (name) => (name === 'eth0' ? 2 : undefined));
      assert.ok(conf.nameservers.length > 0 && conf.nameservers.length <= 16, 'some nameservers');
      const addresses = conf.nameservers.map(({ address }) => address);
      const again = parseResolvConf(renderResolvConf(addresses, conf.search, conf.options), () => undefined);
      assert.deepEqual([again.search, again.options], [conf.search, conf.options]);
      assert.deepEqual(
        again.nameservers.map(({ address }) => `${address}`),
        addresses.map(String),
      );
    },
  },
  {
    name: 'command-line',
    about: 'values of options are taken or refused with a sentence; addresses are what they are written as',
    bytesMax: 200,
    millisecondsMax: 500,
    generate: (random) => text(random, VALUE_WORDS, 6),
    run: (input) => readValue(latin1(input)),
  },
  {
    name: 'names',
    about: 'what is learnt of a DNS answer has its bound, and its work too',
    bytesMax: 20_000,
    millisecondsMax: 500,
    generate: (random) => joinByLength(Array.from({ length: random.between(1, 4) }, () => dnsMessage(random))),
    split: splitByLength,
    join: joinByLength,
    run: learnNames,
  },
];

const NAMES_MAX = 8;
/** Each answer is compared with the name at hand, for each alias: a product, but not of the message's size with itself. */
const LEARN_ACCESSES = 150_000;

function learnNames(input: Uint8Array): void {
  const names = new NameTable(NAMES_MAX);
  for (const message of splitByLength(input)) {
    const view = new WindowView(message);
    const learnt = names.learn(view, view.from, view.to);
    assert.ok(learnt >= 0 && names.count <= NAMES_MAX, 'the table has its bound');
    const most = LEARN_ACCESSES + 64 * message.length;
    assert.ok(view.accesses <= most, `${view.accesses} accesses to learn from ${message.length} bytes`);
  }
}

function readAll(attributes: Attributes, depth: number = 0): void {
  for (const type of attributes.keys()) {
    attributeUint8(attributes, type);
    attributeUint32(attributes, type);
    attributeText(attributes, type);
    attributeAddress(attributes, type);
    attributeMac(attributes, type);
    if (depth < 4) readAll(nestedAttributes(attributes, type), depth + 1);
  }
}

const PARSERS = [
  parseInterfaceAddress,
  parseGateway,
  parseDnsAddress,
  parseHostLoopback,
  parseInterfaceName,
  parseMac,
  parseMtu,
  parseMaxFlows,
] as const;

function readValue(value: string): void {
  for (const parse of PARSERS) parse(value);
  const address = parseIpAddress(value);
  if (address !== undefined) {
    assert.equal(formatIpAddress(parseIpAddress(formatIpAddress(address))!), formatIpAddress(address));
  }
  const prefix = parseIpPrefix(value);
  if (prefix !== undefined) assert.deepEqual(parseIpPrefix(formatIpPrefix(prefix)), prefix);
  const mac = parseMacAddress(value);
  if (mac !== undefined) assert.deepEqual(parseMacAddress(formatMacAddress(mac)), mac);
  const rule = parsePublish(value);
  if (!rule.ok) return;
  const { firstPort, lastPort, toPort = firstPort } = rule.value;
  assert.ok(firstPort >= 0 && firstPort <= lastPort && lastPort <= 65_535, 'ports are ports');
  assert.ok(lastPort - firstPort < PUBLISHED_PORTS_MAX && toPort + lastPort - firstPort <= 65_535, 'in their bounds');
}

const RESOLV_WORDS: readonly string[] = [
  ...[
    'nameserver',
    'search',
    'domain',
    'options',
    ' ',
    ' ',
    '\t',
    '\n',
    '\n',
    '#',
    ';',
    '1.1.1.1',
    '::1',
    'fe80::1%eth0',
  ],
  ...['fe80::1%nope', 'example.org', 'a', '.', 'ndots:5', 'edns0', '\r', '\0', 'x'.repeat(64), '999.1.1.1', '\x1b['],
];

const VALUE_WORDS: readonly string[] = [
  ...[
    '8080',
    ':',
    ':',
    '-',
    '/',
    '/udp',
    '/tcp',
    '.',
    '0',
    '65535',
    '65536',
    '127.0.0.1',
    '::1',
    '[',
    ']',
    '10.0.2.15',
  ],
  ...[
    '/24',
    '/64',
    '/129',
    'fe80::',
    '::ffff:1.2.3.4',
    '02:00:00:00:00:01',
    'auto',
    'none',
    'gateway',
    'e',
    '%',
    ',',
    ' ',
    '\0',
    '1e3',
  ],
];

function text(random: Random, words: readonly string[], most: number): Uint8Array {
  let line = '';
  for (let count = random.between(1, most); count > 0; count--) line += words[random.below(words.length)];
  return Uint8Array.from(line, (letter) => letter.charCodeAt(0));
}

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

function pcap(random: Random): Uint8Array {
  const little = random.chance(0.7);
  const parts = [words(little, [random.chance(0.5) ? 0xa1b2_c3d4 : 0xa1b2_3c4d, 0x0004_0002, 0, 0, 65_535, 1])];
  for (let count = random.below(5); count > 0; count--) {
    const bytes = random.below(80);
    parts.push(words(little, [1, 2, bytes, bytes]), random.fill(new Uint8Array(bytes)));
  }
  return concatenate(parts);
}

function pcapng(random: Random): Uint8Array {
  const little = random.chance(0.7);
  const parts = [
    block(little, 0x0a0d_0d0a, concatenate([words(little, [0x1a2b_3c4d, 1, -1, -1]), options(little, random)])),
  ];
  parts.push(block(little, 1, concatenate([words(little, [little ? 1 : 0x1_0000, 65_535]), options(little, random)])));
  for (let count = random.below(5); count > 0; count--) {
    const bytes = random.below(60);
    const head = words(little, [0, 1, 2, bytes, bytes]);
    const frame = random.fill(new Uint8Array((bytes + 3) & ~3));
    if (random.chance(0.7)) parts.push(block(little, 6, concatenate([head, frame, options(little, random)])));
    else parts.push(block(little, 4, names(little, random)));
  }
  return concatenate(parts);
}

function names(little: boolean, random: Random): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let count = random.below(3); count > 0; count--) {
    const kind = random.between(1, 2);
    const value = random.fill(new Uint8Array(kind === 1 ? 8 : 20));
    parts.push(halves(little, [kind, value.length]), value);
  }
  parts.push(halves(little, [0, 0]));
  return concatenate(parts);
}

function options(little: boolean, random: Random): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let count = random.below(4); count > 0; count--) {
    const bytes = random.below(9);
    parts.push(halves(little, [random.between(1, 10), bytes]), random.fill(new Uint8Array((bytes + 3) & ~3)));
  }
  parts.push(halves(little, [0, 0]));
  return concatenate(parts);
}

function block(little: boolean, type: number, body: Uint8Array): Uint8Array {
  const length = body.length + 12;
  return concatenate([words(little, [type, length]), body, words(little, [length])]);
}

function netlink(random: Random): Uint8Array {
  const messages: Uint8Array[] = [];
  for (let count = random.between(1, 3); count > 0; count--) {
    const attributes: Uint8Array[] = [];
    for (let left = random.below(6); left > 0; left--) attributes.push(attribute(random, 0));
    const struct = random.fill(new Uint8Array(random.chance(0.5) ? 16 : 8));
    const body = concatenate([struct, ...attributes]);
    messages.push(words(true, [16 + body.length, random.between(1, 30) | (2 << 16), 1, 0]), body);
  }
  return concatenate(messages);
}

function attribute(random: Random, depth: number): Uint8Array {
  const nested = depth < 3 && random.chance(0.2);
  const value = nested
    ? concatenate([attribute(random, depth + 1), attribute(random, depth + 1)])
    : random.fill(new Uint8Array([1, 4, 4, 6, 16, 7][random.below(6)]!));
  const padding = new Uint8Array(-value.length & 3);
  return concatenate([halves(true, [4 + value.length, random.below(20) | (nested ? 0x8000 : 0)]), value, padding]);
}

function words(little: boolean, values: readonly number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(values.length * 4));
  values.forEach((value, i) => {
    view.setInt32(i * 4, value, little);
  });
  return new Uint8Array(view.buffer);
}

function halves(little: boolean, values: readonly number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(values.length * 2));
  values.forEach((value, i) => {
    view.setUint16(i * 2, value, little);
  });
  return new Uint8Array(view.buffer);
}
