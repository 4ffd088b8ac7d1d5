import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { readSlirp4netnsCommandLine, SLIRP_TABLE, type Slirp4netnsOptions } from './slirp4netns-options.ts';

function read(line: string): Slirp4netnsOptions {
  const result = readSlirp4netnsCommandLine(line.split(' '), '0.1.0');
  assert.ok(result.kind === 'run', `${line}: ${result.kind === 'run' ? '' : result.text}`);
  return result.options;
}

function plain(options: Slirp4netnsOptions): Record<string, unknown> {
  return JSON.parse(
    JSON.stringify(options, (_key, each: unknown) =>
      each instanceof Object && ('w0' in each || 'high' in each) ? String(each) : each,
    ),
  ) as Record<string, unknown>;
}

/** What differs from `slirp4netns 7 tap0`. */
function changes(line: string): Record<string, unknown> {
  const before = plain(read('7 tap0'));
  return Object.fromEntries(
    Object.entries(plain(read(line))).filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(before[key])),
  );
}

const SAMPLES: readonly [string, Record<string, unknown>][] = [
  ['-c 7 tap0', { configure: true }],
  ['7 tap0 --configure', { configure: true }],
  ['7 -c tap0', { configure: true }],
  ['-e 3 7 tap0', { exitDescriptor: 3 }],
  ['--exit-fd=3 7 tap0', { exitDescriptor: 3 }],
  ['-r 4 7 tap0', { readyDescriptor: 4 }],
  ['-c -r4 --ready-fd 5 7 tap0', { configure: true, readyDescriptor: 5 }],
  ['-m 65521 7 tap0', { mtu: 65_521 }],
  ['--mtu=1 7 tap0', { mtu: 1 }],
  ['-6 7 tap0', { ipv6: true }],
  ['--enable-ipv6 7 tap0', { ipv6: true }],
  ['-a /run/api 7 tap0', { apiSocketPath: '/run/api' }],
  ['--api-socket /run/api 7 tap0', { apiSocketPath: '/run/api' }],
  [
    '--cidr 10.0.0.0/8 7 tap0',
    {
      network: { address: '10.0.0.0', length: 8 },
      plan: {
        gateway: '10.0.0.2',
        dns: '10.0.0.3',
        dhcpFirst: '10.0.0.15',
        dhcpLast: '10.0.0.30',
        namespace: '10.0.0.100',
      },
    },
  ],
  ['--disable-host-loopback 7 tap0', { hostLoopback: false }],
  ['--no-host-loopback 7 tap0', { hostLoopback: false }],
  ['--netns-type pid 7 tap0', {}],
  ['--netns-type=path /n tap0', { target: { kind: 'path', path: '/n' } }],
  ['--netns-type path 7 tap0', { target: { kind: 'path', path: '7' } }],
  ['--netns-type=tapfd 3', { target: { kind: 'tap', descriptor: 3 } }],
  ['--userns-path /u 7 tap0', { userNamespacePath: '/u' }],
  ['--enable-sandbox 7 tap0', {}],
  ['--create-sandbox 7 tap0', {}],
  ['--enable-seccomp 7 tap0', {}],
  ['--outbound-addr 192.0.2.1 7 tap0', { outboundIpv4: '192.0.2.1' }],
  ['--outbound-addr eth0 7 tap0', { outboundIpv4: 'eth0' }],
  ['--outbound-addr6 2001:db8::1 7 tap0', { outboundIpv6: '2001:db8::1' }],
  ['--outbound-addr6 eth0 7 tap0', { outboundIpv6: 'eth0' }],
  ['--disable-dns 7 tap0', { dns: false }],
  ['-c --macaddress 2:0:0:0:0:1 7 tap0', { configure: true, mac: '02:00:00:00:00:01' }],
  ['--target-type netns 7 tap0', {}],
  ['--target-type bess /tmp/s', { target: { kind: 'bess', path: '/tmp/s' } }],
  ['7 other0', { interfaceName: 'other0' }],
];

describe('readSlirp4netnsCommandLine', () => {
  it('takes every option', () => {
    for (const [line, change] of SAMPLES) assert.deepEqual(changes(line), change, line);
  });

  it('is tested with every row of the table', () => {
    const words = new Set(SAMPLES.flatMap(([line]) => line.split(' ').map((word) => word.replace(/=.*/, ''))));
    assert.equal(SLIRP_TABLE.length, 21);
    for (const { long } of SLIRP_TABLE)
      assert.ok(['help', 'version'].includes(long) || words.has(`--${long}`) || words.has(`-${long[0]}`), long);
  });

  it('has the defaults', () => {
    assert.deepEqual(plain(read('7 tap0')), {
      target: { kind: 'pid', pid: 7 },
      interfaceName: 'tap0',
      configure: false,
      mtu: 1500,
      ipv6: false,
      network: { address: '10.0.2.0', length: 24 },
      plan: {
        gateway: '10.0.2.2',
        dns: '10.0.2.3',
        dhcpFirst: '10.0.2.15',
        dhcpLast: '10.0.2.30',
        namespace: '10.0.2.100',
      },
      hostLoopback: true,
      dns: true,
    });
  });

  it('takes what podman and rootlesskit start', () => {
    const podman =
      '--disable-host-loopback --mtu=65520 --enable-sandbox --enable-seccomp --enable-ipv6 -c -r 3 -e 4 --netns-type=path /run/user/1000/netns/n tap0';
    assert.deepEqual(plain(read(podman))['target'], { kind: 'path', path: '/run/user/1000/netns/n' });
    const rootlesskit =
      '--mtu 65520 -r 3 --disable-host-loopback --api-socket /tmp/rk/.s4nn.sock --enable-sandbox --enable-seccomp --cidr 10.0.3.0/24 4242 tap0';
    assert.deepEqual(plain(read(rootlesskit))['target'], { kind: 'pid', pid: 4242 });
  });

  it('refuses with the option and its value', () => {
    const samples: [string, RegExp][] = [
      ['-c', /PID or PATH is missing/],
      ['7', /TAPNAME is missing/],
      ['abc tap0', /"abc" is not a PID/],
      ['0 tap0', /"0" is not a PID: below 1/],
      ['7 interfacewithalongname', /TAPNAME "interfacewithalongname": 22 bytes/],
      ['--bogus 7 tap0', /unrecognized option '--bogus'/],
      ['7 tap0 --bogus', /unrecognized option '--bogus'/],
      ['-Z 7 tap0', /invalid option -- 'Z'/],
      ['--enable 7 tap0', /ambiguous; possibilities: '--enable-ipv6' '--enable-sandbox' '--enable-seccomp'/],
      ['--disable-dns=1 7 tap0', /doesn't allow an argument/],
      ['-r', /option requires an argument -- 'r'/],
      ['-m 0 7 tap0', /--mtu 0: below 1/],
      ['-m 65522 7 tap0', /--mtu 65522: above 65521/],
      ['-m -5 7 tap0', /--mtu -5: not a whole/],
      ['-m 1500x 7 tap0', /--mtu 1500x/],
      ['-e x 7 tap0', /--exit-fd x: not a whole/],
      ['-r -1 7 tap0', /--ready-fd -1/],
      [`-a ${'a'.repeat(108)} 7 tap0`, /--api-socket a+: 108 bytes long/],
      ['--cidr x 7 tap0', /--cidr x: not an IPv4 network/],
      ['--cidr 10.0.2.0 7 tap0', /not an IPv4 network/],
      ['--cidr fd00::/64 7 tap0', /not an IPv4 network/],
      ['--cidr 10.0.2.0/26 7 tap0', /prefix length is above 25/],
      ['--cidr 0.0.0.0/0 7 tap0', /prefix length is below 1/],
      ['--cidr 10.0.2.1/24 7 tap0', /the address of a host/],
      ['--cidr 192.0.0.0/1 7 tap0', /the address of a host/],
      ['--netns-type foo 7 tap0', /--netns-type foo: not a type/],
      ['--netns-type tapfd x', /"x" is not a descriptor/],
      ['--target-type foo 7', /--target-type foo: not a type/],
      ['--target-type bess -c /s', /--configure with --target-type=bess/],
      ['--target-type bess --netns-type pid /s', /--netns-type with --target-type=bess/],
      ['--target-type bess --userns-path /u /s', /--userns-path with --target-type=bess/],
      ['--macaddress 02:00:00:00:00:01 7 tap0', /--macaddress without --configure/],
      ['-c --macaddress x 7 tap0', /--macaddress x: not a MAC/],
      ['-c --macaddress 03:00:00:00:00:01 7 tap0', /multicast/],
      ['--outbound-addr a/b 7 tap0', /neither an address nor an interface/],
      ['--outbound-addr ::1 7 tap0', /not an IPv4 address/],
      ['--outbound-addr6 1.1.1.1 7 tap0', /not an IPv6 address/],
      ['--userns-path= 7 tap0', /--userns-path "": empty/],
    ];
    for (const [line, reason] of samples) {
      const result = readSlirp4netnsCommandLine(line.split(' '), '0.1.0');
      assert.ok(result.kind === 'refused', `${line} was taken`);
      assert.match(result.text, reason, line);
      assert.match(result.text, /^slirp4netns: [^\n]+\n[A-Z][^\n]+\n$/, line);
    }
  });

  it('warns of deprecated options, and of what it does not read', () => {
    const result = readSlirp4netnsCommandLine(['--no-host-loopback', '7', 'tap0', 'more'], '0.1.0');
    assert.ok(result.kind === 'run');
    assert.deepEqual(result.warnings, [
      '--no-host-loopback is deprecated, use --disable-host-loopback',
      '"more" is one argument too many, and is left out',
    ]);
  });

  it('prints what callers look for', () => {
    const version = readSlirp4netnsCommandLine(['-vh'], '0.1.0');
    assert.ok(version.kind === 'print');
    assert.match(version.text, /^slirp4netns version \d+\.\d+\.\d+\n/);
    const help = readSlirp4netnsCommandLine(['-hv'], '0.1.0');
    assert.ok(help.kind === 'print');
    for (const { long } of SLIRP_TABLE) assert.ok(help.text.includes(`--${long}`), long);
  });

  it('reads noise without throwing', () => {
    const words = SLIRP_TABLE.flatMap(({ long, short }) => [`--${long}`, `-${short ?? long}`, `--${long}=1`]);
    const word = fc.oneof(fc.constantFrom(...words, '7', 'tap0', '10.0.2.0/24', '--'), fc.string());
    fc.assert(fc.property(fc.array(word, { maxLength: 8 }), (args) => void readSlirp4netnsCommandLine(args, '0.1.0')));
  });
});
