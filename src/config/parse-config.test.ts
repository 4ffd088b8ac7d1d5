import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatIpPrefix } from '../base/address.ts';
import type { Config } from './config.ts';
import { checkConfig, parseConfig } from './parse-config.ts';
import { formatProblems } from './problem.ts';
import { writeConfig } from './schema.ts';

const LAB = `
interfaces:
  tap0: { tap: { host: { name: eth0, namespace: red,  address: [10.0.0.2/24, fd00:a::2/64], gateway: [10.0.0.1, fd00:a::1] }, queues: 2, offload: gso },
          address: [10.0.0.1/24, fd00:a::1/64] }
  tap1: { tap: { host: { name: eth0, namespace: blue } }, bridge: lan }
  tap2: { tap: { host: { name: eth0, namespace: "pid:4242" } }, bridge: lan }
bridges: { lan: { ageing: 300s, bvi: { address: [10.1.0.1/24] } } }
uplink:  { translate: host }               # packets routed here become host sockets: the translation of \`tapster run\`
routes:  [ { to: 0.0.0.0/0, via: uplink }, { to: "::/0", via: uplink } ]
`;

const WIDE = `
interfaces:
  tap0:
    tap: { id: 7, ringSizes: { rx: 512 }, host: { mtu: 9000 }, placement: [0] }
    mac: 02:fe:00:00:00:01
    address: [10.0.0.1/24, fe80::1/64]
    services: { dhcp: { pool: 10.0.0.100-10.0.0.199 }, dns: {} }
    publish: ["8080:10.0.0.2:80", "[::1]:53-55:[fd00::2]:1053/udp"]
    vlans: { 100: { address: [10.2.0.1/24] } }
  tap1: { bridge: lan, splitHorizonGroup: 1 }
bridges: { lan: { ageing: 1.5h, bvi: { address: [10.1.0.1/24] } } }
uplink: { translate: host, hostLoopback: gateway }
routes:
  - { to: 10.8.0.0/16, via: [10.0.0.2, { via: 10.1.0.2, weight: 3 }] }
  - { to: fd00:8::/32, via: fe80::9%tap0 }
  - { to: 10.9.0.0/16, via: tap0.100 }
  - { to: 10.10.0.0/16, via: drop }
neighbours: [{ interface: bvi.lan, address: 10.1.0.2, mac: 02-fe-00-00-00-09 }]
logging: { level: debug, flows: /tmp/flows }
`;

describe('a configuration', () => {
  it('is read from the example, with all defaults', () => {
    const config = valid(LAB);
    assert.deepEqual(Object.keys(config.interfaces), ['tap0', 'tap1', 'tap2']);
    const { tap, address, up } = config.interfaces['tap0']!;
    assert.deepEqual(address.map(formatIpPrefix), ['10.0.0.1/24', 'fd00:a::1/64']);
    assert.deepEqual([tap.queues, tap.ringSizes, tap.offload, up], [2, { rx: 256, tx: 256 }, 'gso', true]);
    assert.equal(config.bridges['lan']!.ageing, 300_000);
    assert.deepEqual(config.routes[0]!.via, [{ kind: 'uplink', weight: 1 }]);
    assert.equal(config.uplink!.flowsMax, 65_536);
  });

  it('is empty where the file is', () => {
    for (const text of ['', '# nothing\n', '{}']) assert.deepEqual(valid(text).interfaces, {});
  });

  it('is written as it is read', () => {
    for (const text of [LAB, WIDE]) {
      const config = valid(text);
      const written = writeConfig(config);
      const again = checkConfig(structuredClone(written));
      assert.ok(again.ok);
      assert.deepEqual(again.value, config);
      assert.deepEqual(valid(JSON.stringify(written)), config);
    }
  });
});

/** What is wrong, and what is said of it: LINE:COLUMN code path: message. Lines of one-line files are left out. */
const WRONG: readonly (readonly [string, ...string[]])[] = [
  // The parser.
  ['a: [1', '1:6 syntax'],
  ['uplink: {translate: host}\nuplink: {}', '2:1 key-duplicate: the key uplink is there already: keep one of the two'],
  ['a: 1\n---\nb: 2', '2:1 syntax: a second document begins: one file holds one configuration'],
  ['routes: !!python/object x', '1:9 syntax: Unresolved tag: tag:yaml.org,2002:python/object'],
  ['routes: *all', '1:9 syntax: the alias *all has no anchor before it'],
  ['? [a]\n: b', '1:3 syntax: a key must be a word'],
  [`routes: ${'['.repeat(70)}${']'.repeat(70)}`, '1:73 too-deep: nests deeper than 64 levels'],
  [`routes: ${'['.repeat(30_000)}`, '1:'],
  [`a: &a [x, x, x, x, x, x, x, x, x, x]\n${bomb(8)}`, '4:56 too-large: aliases stand for more than 10000 values'],
  ['a: &a { b: *a }', '1:12 too-deep'],
  // The schema.
  ['[]', '1:1 type-wrong: must be a mapping, such as {}'],
  ['interface: {}', '1:1 key-unknown interface: is no key here: did you mean "interfaces"?'],
  ['interfaces: { tap0: { Host-MTU: 1, host_mtu: 1 } }', '1:23 key-unknown', '1:36 key-unknown'],
  ['defaults: { host-mtu: 1500 }', '1:13 key-unknown defaults.host-mtu: is no key here: did you mean "hostMtu"?'],
  ['defaults: { xyz: 1 }', '1:13 key-unknown defaults.xyz: is no key here: hostMtu, taps are'],
  [
    'interfaces: { a: { services: { dns: { zzz: 1 } } } }',
    '1:39 key-unknown interfaces.a.services.dns.zzz: is no key here: servers is',
  ],
  ['interfaces: { "tap 0": {} }', '1:15 name-wrong interfaces["tap 0"]: must be a name of 1 to 31 letters'],
  ['interfaces: { uplink: {} }', '1:15 name-wrong interfaces.uplink: is a word of the configuration'],
  ['interfaces: { tap0: { vlans: { 4095: {} } } }', '1:32 name-wrong interfaces.tap0.vlans["4095"]: must be a VLAN'],
  ['interfaces:\n  tap0:\n', '2:3 type-wrong interfaces.tap0: must be a mapping, such as {}: nothing is written here'],
  ['uplink: {}', '1:1 value-missing uplink.translate: is missing: host'],
  ['routes: [{ to: 10.0.0.0/8 }]', '1:10 value-missing routes[0].via: must be an address'],
  ['routes: [{ to: 10.0.0.1/8, via: drop }]', '1:16 value-wrong routes[0].to: has bits behind its prefix: 10.0.0.0/8?'],
  ['routes: [{ to: ::/0, via: [drop, "-"] }]', '1:34 value-wrong routes[0].via[1]: must be an address, ADDRESS%INTERF'],
  [
    'routes: [{ to: ::/0, via: [{ via: drop, wight: 2 }] }]',
    '1:41 key-unknown routes[0].via[0].wight: is no key here: did',
  ],
  ['routes: [{ to: ::/0, via: 7 }]', '1:27 type-wrong routes[0].via: must be an address'],
  ['interfaces: { a: { mtu: 100 } }', '1:25 value-wrong interfaces.a.mtu: must be 576 at least (is 100)'],
  ['interfaces: { a: { mtu: 1e9 } }', '1:25 value-wrong interfaces.a.mtu: must be 65520 at most'],
  ['interfaces: { a: { up: yes } }', '1:24 type-wrong interfaces.a.up: must be true or false (is "yes")'],
  [
    'interfaces: { a: { address: 10.0.0.1/24 } }',
    '1:29 type-wrong interfaces.a.address: must be a list, such as [a, b]',
  ],
  [
    'interfaces: { a: { address: [10.0.0.1] } }',
    '1:30 value-wrong interfaces.a.address[0]: the prefix length is missing: 10.0.0.1/24?',
  ],
  [
    'interfaces: { a: { address: [10.0.0.0/24] } }',
    '1:30 value-wrong interfaces.a.address[0]: must be an address of one',
  ],
  [
    'interfaces: { a: { mac: 01:00:00:00:00:01 } }',
    '1:25 value-wrong interfaces.a.mac: must be the MAC address of one',
  ],
  ['interfaces: { a: { publish: ["0"] } }', '1:30 value-wrong interfaces.a.publish[0]: port 0 is no port'],
  ['interfaces: { a: { tap: { id: 1025 } } }', '1:31 value-wrong interfaces.a.tap.id: must be 1024 at most (is 1025)'],
  [
    'interfaces: { a: { tap: { offload: gsu } } }',
    '1:36 value-wrong interfaces.a.tap.offload: must be gso, csum or none: did',
  ],
  [
    'interfaces: { a: { tap: { ringSizes: { rx: 300 } } } }',
    '1:44 value-wrong interfaces.a.tap.ringSizes.rx: must be a power of',
  ],
  [
    'interfaces: { a: { tap: { host: { name: a/b } } } }',
    '1:41 value-wrong interfaces.a.tap.host.name: must have no "/"',
  ],
  [
    'interfaces: { a: { tap: { host: { namespace: "pid:x" } } } }',
    '1:46 value-wrong interfaces.a.tap.host.namespace: a proc',
  ],
  ['bridges: { a: { ageing: 300 } }', '1:25 type-wrong bridges.a.ageing: must be text: a duration, such as 300s'],
  ['bridges: { a: { ageing: 300 s } }', '1:25 value-wrong bridges.a.ageing: must be a number with its unit'],
  // What values are to each other.
  [
    tap('host: { address: [10.0.0.2/24], bridge: br0 }'),
    '1:67 excluded interfaces.a.tap.host.bridge: excludes host.address',
  ],
  ['interfaces: { a: { tap: { host: { address: [10.0.0.1/24] } }, address: [10.0.0.1/24] } }', '1:45 duplicate'],
  [
    'bridges: { b: { bvi: { services: { dhcp: {} } } } }',
    '1:36 address-needed bridges.b.bvi.services.dhcp: needs an IPv4',
  ],
  [tap('attach: true'), '1:35 name-needed interfaces.a.tap.attach: needs host.name'],
  [tap('groCoalesce: true'), '1:40 gso-needed'],
  [tap('placement: [0, 1]'), '1:38 too-many interfaces.a.tap.placement: places more than the 1 there are'],
  [
    tap('mode: tun, host: { bridge: br0 }'),
    '1:54 excluded interfaces.a.tap.host.bridge: has no meaning with "mode: tun"',
  ],
  [
    tap('mode: tun, backend: vhost-net'),
    '1:47 excluded interfaces.a.tap.backend: excludes "mode: tun": the kernel takes packets from vhost-net for Ethernet frames',
  ],
  [
    'interfaces: { a: { tap: { mode: tun }, vlans: { 100: {} } } }',
    '1:49 excluded interfaces.a.vlans["100"]: has no meaning with "mode: tun"',
  ],
  [
    tap('host: { address: [10.0.0.2/24], gateway: [10.0.1.1] }'),
    '1:69 gateway-unreachable interfaces.a.tap.host.gateway[0]',
  ],
  [
    tap('host: { address: [10.0.0.2/8], gateway: [10.0.1.1, 10.0.1.2] }'),
    '1:78 duplicate interfaces.a.tap.host.gateway[1]',
  ],
  [
    'interfaces: { a: { bridge: lan } }',
    '1:28 bridge-unknown interfaces.a.bridge: is no bridge: add "bridges: { lan: {} }"',
  ],
  [
    'interfaces: { a: { bridge: lna } }\nbridges: { lan: {} }',
    '1:28 bridge-unknown interfaces.a.bridge: is no bridge: did you',
  ],
  ['interfaces: { a: { bridge: b, address: [10.0.0.1/24] } }\nbridges: { b: {} }', '1:28 excluded interfaces.a.bridge'],
  ['interfaces: { a: { splitHorizonGroup: 1 } }', '1:39 bridge-needed interfaces.a.splitHorizonGroup: needs "bridge"'],
  ['interfaces: { a: { publish: ["80:10.0.0.2:80"] } }', '1:20 uplink-needed interfaces.a.publish: needs an uplink'],
  [
    'interfaces: { a: { services: { dhcp: {} } } }',
    '1:32 address-needed interfaces.a.services.dhcp: needs an IPv4 address',
  ],
  [
    'interfaces: { a: { address: [10.0.0.1/24], services: { dhcp: { pool: 10.0.1.1-10.0.1.9 } } } }',
    '1:70 pool-outside interfaces.a.services.dhcp.pool: lies in no network of the interface',
  ],
  ['interfaces: { a: { tap: { id: 1 } }, b: { tap: { id: 1 } } }', '1:38 duplicate interfaces.b:', '1:54 duplicate'],
  [
    'interfaces: { a: { address: [10.0.0.1/24] }, b: { address: [10.0.0.1/8] } }',
    '1:61 duplicate interfaces.b.address[0]',
  ],
  [
    'interfaces: { a: { address: [10.0.0.1/24, 10.0.0.1/24] } }',
    '1:43 duplicate interfaces.a.address[1]: is listed twice',
  ],
  [
    'uplink: { translate: host }\ninterfaces: { a: { publish: ["80-82:10.0.0.2:80", "82:10.0.0.2:80"] } }',
    '2:51 duplicate interfaces.a.publish[1]: is taken by interfaces.a.publish[0]',
  ],
  [
    'routes: [{ to: ::/0, via: drop }, { to: ::/0, via: drop }]',
    '1:41 duplicate routes[1].to: is taken by routes[0].to',
  ],
  ['routes: [{ to: ::/0, via: uplink }]', '1:27 uplink-needed routes[0].via: needs an uplink'],
  ['routes: [{ to: ::/0, via: tap7 }]', '1:27 interface-unknown routes[0].via: is no interface: there are none'],
  ['routes: [{ to: ::/0, via: 10.0.0.1 }]', '1:27 family-mixed routes[0].via: is of another family'],
  [
    'routes: [{ to: ::/0, via: fe80::1 }]',
    '1:27 gateway-unreachable routes[0].via: lies in no network of an interface: whi',
  ],
  [
    'routes: [{ to: 0.0.0.0/0, via: [drop, 10.0.0.1] }]',
    '1:39 gateway-unreachable routes[0].via[1]: lies in no network of an',
  ],
  [
    'interfaces: { a: {} }\nneighbours: [{ interface: a, address: 10.0.0.1, mac: 02:00:00:00:00:01 }]',
    '2:39 neighbour-unreachable neighbours[0].address: lies in no network of a',
  ],
  ['defaults: { taps: disabled }\ninterfaces: { a: {} }', '2:15 taps-disabled interfaces.a: is a tap'],
];

describe('what is wrong with a configuration', () => {
  for (const [text, ...expected] of WRONG) {
    it(`is found in ${text.length > 70 ? `${text.slice(0, 70)}...` : text}`, () => {
      const lines = wrong(text);
      assert.equal(lines.length, expected.length, lines.join('\n'));
      for (const [index, start] of expected.entries()) assert.equal(lines[index]!.slice(0, start.length), start);
    });
  }

  it('is told all at once, in the order of lines', () => {
    const text = `interfaces:
  tap0:
    mtu: big
    adress: []
  tap1: { bridge: lam }
  tap2: { tap: { attach: true, id: -1 } }
bridges: { lan: {} }
routes:
  - { to: 10.0.0.0/8, via: upling }
  - { to: bad, via: drop }
neighbours: [{ interface: tap0, address: 10.0.0.1, mac: 02:00:00:00:00:01 }, { interface: no, address: ::1, mac: 02:00:00:00:00:01 }]
`;
    assert.deepEqual(
      wrong(text).map((line) => line.split(':', 3).join(':').split(' ').slice(0, 3).join(' ')),
      [
        '3:10 type-wrong interfaces.tap0.mtu:',
        '4:5 key-unknown interfaces.tap0.adress:',
        '5:19 bridge-unknown interfaces.tap1.bridge:',
        '6:36 value-wrong interfaces.tap2.tap.id:',
        '10:11 value-wrong routes[1].to:',
        '11:91 interface-unknown neighbours[1].interface:',
      ],
    );
  });

  it('is found beside what the schema refuses elsewhere', () => {
    const text =
      'interfaces: { a: { tap: { attach: true } } }\nlogging: { level: loud }\nroutes: [{ to: ::/0, via: b }]';
    const codes = wrong(text).map((line) => line.split(' ', 2).join(' '));
    assert.deepEqual(codes, ['1:35 name-needed', '2:19 value-wrong', '3:27 interface-unknown']);
  });

  it('is printed as compilers do', () => {
    const parsed = parseConfig('interfaces: { a: { mtu: 100 } }');
    assert.ok(!parsed.ok);
    assert.equal(
      formatProblems(parsed.problems, 'lab.yaml'),
      'lab.yaml:1:25: interfaces.a.mtu: must be 576 at least (is 100)',
    );
    assert.equal(parsed.failure.code, 'config-invalid');
  });

  it('is refused when it is too large, unread', () => {
    assert.match(wrong('#'.repeat(9_000_000))[0]!, /^1:1 too-large/);
  });

  it('is found in any text without an exception', () => {
    const words = [
      'interfaces',
      'tap0',
      ': ',
      '{',
      '}',
      '[',
      ']',
      '\n',
      '  ',
      '- ',
      'bridges',
      '&a ',
      '*a',
      '"',
      '10.0.0.1/24',
      'via',
    ];
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constantFrom(...words), fc.string()), { maxLength: 30 }), (parts) => {
        const parsed = parseConfig(parts.join(''));
        if (!parsed.ok) assert.ok(parsed.problems.length > 0);
      }),
      { numRuns: 300 },
    );
  });

  it('is found in any data without an exception', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom('interfaces', 'routes', 'uplink', '__proto__'), fc.jsonValue()),
        (data) => {
          const parsed = checkConfig(data);
          if (!parsed.ok) assert.ok(parsed.problems.length > 0);
        },
      ),
      { numRuns: 300 },
    );
  });
});

function valid(text: string): Config {
  const parsed = parseConfig(text);
  if (!parsed.ok) assert.fail(formatProblems(parsed.problems, 'test.yaml'));
  return parsed.value;
}

function wrong(text: string): string[] {
  const parsed = parseConfig(text);
  assert.ok(!parsed.ok, 'nothing is found');
  return parsed.problems.map((problem) => {
    const [line = ''] = formatProblems([problem], '@').split('\n');
    const place = `${problem.line}:${problem.column}`;
    const rest = line.slice(`@:${place}: `.length);
    return problem.path.length === 0 ? `${place} ${problem.code}: ${rest}` : `${place} ${problem.code} ${rest}`;
  });
}

function tap(settings: string): string {
  return `interfaces: { a: { tap: { ${settings} } } }`;
}

/** Each line stands for ten of the line before. */
function bomb(lines: number): string {
  return Array.from({ length: lines }, (_, index) => {
    const [name, before] = [`a${'x'.repeat(index + 1)}`, `a${'x'.repeat(index)}`];
    return `${name}: &${name} [${Array.from({ length: 10 }, () => `*${before}`).join(', ')}]`;
  }).join('\n');
}
