// covers P2 P15 P17 P19 (what the command line says of them)
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatForwardSpec } from './forward-spec.ts';
import { readPastaCommandLine } from './pasta-command-line.ts';
import type { PastaOptions, PastaProgram } from './pasta-options.ts';
import { PASTA_TABLE } from './pasta-table.ts';

function read(program: PastaProgram, args: readonly string[]): PastaOptions {
  const line = readPastaCommandLine(program, args, '0.1.0');
  assert.equal(line.kind, 'run', `${args.join(' ')}: ${line.kind === 'run' ? '' : line.text}`);
  return (line as { options: PastaOptions }).options;
}

/** The value as plain data: addresses as text, ports as they would be written. */
function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_key, each: unknown) => {
      if (each instanceof Object && 'rules' in each) return formatForwardSpec(each as never).join(' ');
      if (each instanceof Object && ('w0' in each || 'high' in each)) return String(each);
      return each;
    }),
  );
}

/** Where the value differs from that of no options: paths to what is there now. */
function changes(program: PastaProgram, args: readonly string[]): Record<string, unknown> {
  const before = leaves(plain(read(program, [])));
  const after = Object.entries(leaves(plain(read(program, args))));
  return Object.fromEntries(after.filter(([path, value]) => JSON.stringify(value) !== JSON.stringify(before[path])));
}

/** `{ a: { b: 1 } }` as `{ 'a.b': 1 }`. */
function leaves(value: unknown, path: string = ''): Record<string, unknown> {
  const entries = value instanceof Object && !Array.isArray(value) ? Object.entries(value) : [];
  if (entries.length === 0) return path === '' ? {} : { [path]: value };
  return Object.assign({}, ...entries.map(([key, each]) => leaves(each, path === '' ? key : `${path}.${key}`)));
}

type Sample = readonly [program: 'both' | PastaProgram, line: string, change: Record<string, unknown>];

/** Every row of the reference, in its order. */
const SAMPLES: readonly Sample[] = [
  ['both', '-d', { verbosity: 'debug' }],
  ['both', '--debug', { verbosity: 'debug' }],
  ['both', '--trace', { verbosity: 'trace' }],
  ['both', '--trace -d', { verbosity: 'trace' }],
  ['both', '--stats 5', { statsSeconds: 5 }],
  ['both', '-q', { verbosity: 'quiet' }],
  ['both', '--quiet --debug', { verbosity: 'debug' }],
  ['both', '--debug --quiet', { verbosity: 'quiet' }],
  ['both', '--foreground', { foreground: true }],
  ['both', '-f -f', { foreground: true }],
  ['both', '-e', {}],
  ['both', '--stderr', {}],
  ['both', '-l /tmp/a -l /tmp/b', { logPath: '/tmp/b' }],
  ['both', '--log-file=/tmp/a --log-size 65536', { logPath: '/tmp/a', logBytesMax: 65_536 }],
  ['both', '--log-size 4294967296', { logBytesMax: 4_294_967_296 }],
  ['both', '--runas nobody', { runAs: { user: 'nobody' } }],
  ['both', '--runas 65534:65534', { runAs: { user: '65534', group: '65534' } }],
  ['both', '--runas nobody:nogroup', { runAs: { user: 'nobody', group: 'nogroup' } }],
  ['both', '-c /run/c', { controlPath: '/run/c' }],
  ['both', '--conf-path /run/c', { controlPath: '/run/c' }],
  ['both', '-p /tmp/p', { pcapPath: '/tmp/p' }],
  ['both', '--pcap /tmp/p', { pcapPath: '/tmp/p' }],
  ['both', '-P /tmp/p', { pidPath: '/tmp/p' }],
  ['both', '--pid /tmp/p', { pidPath: '/tmp/p' }],
  ['both', '--chroot-fallback', { chrootFallback: true }],

  ['both', '-m 0', { mtu: 0 }],
  ['both', '--mtu 68', { mtu: 68 }],
  ['both', '-m 1500 -m 65535', { mtu: 65_535 }],
  ['both', '-a 192.0.2.5', { 'addresses.ipv4': { address: '192.0.2.5' } }],
  [
    'both',
    '--address 192.0.2.5/24 -a 2001:db8::5/48',
    {
      'addresses.ipv4.address': '192.0.2.5',
      'addresses.ipv4.prefixLength': 24,
      'addresses.ipv6': { address: '2001:db8::5', prefixLength: 64 },
    },
  ],
  ['both', '-n 24', { netmaskLength: 24 }],
  ['both', '--netmask 255.255.254.0 -a 192.0.2.5', { netmaskLength: 23, 'addresses.ipv4.address': '192.0.2.5' }],
  ['both', '-n 0.0.0.0', { netmaskLength: 0 }],
  ['both', '-n 255.255.255.255', { netmaskLength: 32 }],
  ['both', '-M 02:00:00:00:00:01', { mac: '02:00:00:00:00:01' }],
  ['both', '--mac-addr 00:16:3e:00:00:01', { mac: '00:16:3e:00:00:01' }],
  ['both', '-g 192.0.2.1 -g fe80::1', { 'gateways.ipv4': '192.0.2.1', 'gateways.ipv6': 'fe80::1' }],
  ['both', '--gateway 192.0.2.1 -g 192.0.2.2', { 'gateways.ipv4': '192.0.2.2' }],
  ['both', '-a 10.0.0.1/24 -a 10.0.0.2 -n 16', { 'addresses.ipv4.address': '10.0.0.2', netmaskLength: 16 }],
  ['both', '-i eth1', { interfaceName: 'eth1' }],
  ['both', '--interface lo', { interfaceName: 'lo' }],
  ['both', '-o 127.0.0.1', { 'outboundAddresses.ipv4': '127.0.0.1' }],
  ['both', '--outbound 2001:db8::1', { 'outboundAddresses.ipv6': '2001:db8::1' }],
  ['both', '--outbound-if4 eth0', { 'outboundInterfaces.ipv4': 'eth0' }],
  ['both', '--outbound-if6 eth0', { 'outboundInterfaces.ipv6': 'eth0' }],
  ['both', '-4', { families: '4' }],
  ['both', '--ipv4-only -6', { families: '6' }],
  ['both', '--ipv6-only', { families: '6' }],
  ['both', '-H guest', { hostname: 'guest' }],
  ['both', '--hostname guest', { hostname: 'guest' }],
  ['both', '--fqdn guest.example.org', { fqdn: 'guest.example.org' }],

  ['both', '-D 192.0.2.53 -D 2001:db8::53', { dns: ['192.0.2.53', '2001:db8::53'] }],
  ['both', '--dns none', { dns: [] }],
  ['both', '-D 192.0.2.53 -D none', { dns: [] }],
  ['both', '-D none -D 192.0.2.53', { dns: ['192.0.2.53'] }],
  ['both', '--dns-forward 169.254.1.1', { 'dnsForward.ipv4': '169.254.1.1' }],
  ['both', '--dns-host 127.0.0.53', { 'dnsHosts.ipv4': '127.0.0.53' }],
  ['both', '-S example.org', { search: ['example.org'] }],
  ['both', '--search none', { search: [] }],
  ['both', '-S a.example -S b.example', { search: ['a.example', 'b.example'] }],
  ['pasta', '--dhcp-dns', { dhcpDns: true }],
  ['pasta', '--dhcp-dns --no-dhcp-dns', {}],
  ['passt', '--no-dhcp-dns', { dhcpDns: false }],
  ['pasta', '--dhcp-search', { dhcpSearch: true }],
  ['passt', '--no-dhcp-search', { dhcpSearch: false }],

  ['both', '--no-tcp -t 22', { tcp: false, tcpIn: '22' }],
  ['both', '--no-udp', { udp: false }],
  ['both', '--no-icmp', { icmp: false, ndp: false }],
  ['both', '--no-dhcp', { dhcp: false }],
  ['both', '--no-dhcpv6', { dhcpv6: false }],
  ['both', '--no-ndp', { ndp: false }],
  ['both', '--no-ra', { ra: false }],
  ['both', '--freebind', { freebind: true }],
  ['both', '--map-host-loopback 192.0.2.9', { hostLoopback: { ipv4: '192.0.2.9' } }],
  ['both', '--map-host-loopback none', { hostLoopback: {} }],
  ['both', '--no-map-gw', { hostLoopback: {} }],
  [
    'both',
    '--no-map-gw --map-host-loopback 192.0.2.9 --map-host-loopback fd00::9',
    { hostLoopback: { ipv4: '192.0.2.9', ipv6: 'fd00::9' } },
  ],
  ['both', '--map-guest-addr 169.254.1.2', { 'guestAddressAtHost.ipv4': '169.254.1.2' }],
  ['both', '--map-guest-addr 169.254.1.2 --map-guest-addr none', {}],

  ['both', '-t 22 -t 80:8080', { tcpIn: '22,80:8080' }],
  ['both', '--tcp-ports all', { tcpIn: 'all' }],
  [
    'pasta',
    '-t none -u none -T none -U none',
    { tcpIn: 'none', udpIn: 'none', udpInFollowsTcp: false, tcpOut: 'none', udpOut: 'none' },
  ],
  ['pasta', '-t auto -u auto', { udpInFollowsTcp: false }],
  ['both', '-u 53', { udpIn: '53', udpInFollowsTcp: false }],
  ['both', '--udp-ports ::1/53', { udpIn: '::1/53', udpInFollowsTcp: false }],
  ['pasta', '-T 5432', { tcpOut: '5432' }],
  ['pasta', '--tcp-ns 10-20,~15', { tcpOut: '10-14,16-20' }],
  ['pasta', '-U 53', { udpOut: '53' }],
  ['pasta', '--udp-ns 53', { udpOut: '53' }],

  ['passt', '-s /tmp/s', { 'guest.socketPath': '/tmp/s' }],
  ['passt', '--socket /tmp/s', { 'guest.socketPath': '/tmp/s' }],
  ['passt', '--socket-path /tmp/s --vhost-user', { 'guest.socketPath': '/tmp/s', 'guest.vhostUser': true }],
  ['passt', '--repair-path /tmp/r', { 'guest.repairPath': '/tmp/r' }],
  ['passt', '--repair-path none', { 'guest.repairPath': 'none' }],
  ['passt', '--migrate-exit', { 'guest.migrateExit': true }],
  ['passt', '--migrate-no-linger', { 'guest.migrateNoLinger': true }],
  ['passt', '-F 5', { 'guest.descriptor': 5, 'guest.oneOff': true }],
  ['passt', '--fd=5', { 'guest.descriptor': 5, 'guest.oneOff': true }],
  ['passt', '-1', { 'guest.oneOff': true }],
  ['passt', '--one-off', { 'guest.oneOff': true }],

  ['pasta', '-I tap0', { 'guest.interfaceName': 'tap0' }],
  ['pasta', '--ns-ifname tap0', { 'guest.interfaceName': 'tap0' }],
  ['pasta', '--host-lo-to-ns-lo', { 'guest.hostLoopbackToNamespaceLoopback': true }],
  ['pasta', '--userns /u', { 'guest.userNamespace.kind': 'path', 'guest.userNamespace.path': '/u' }],
  ['pasta', '--netns /n', { 'guest.target': { kind: 'path', path: '/n' }, 'guest.userNamespace.kind': 'none' }],
  ['pasta', '--netns-only', { 'guest.userNamespace.kind': 'none' }],
  ['pasta', '--no-netns-quit', { 'guest.endsWithPath': false }],
  ['pasta', '--config-net', { 'guest.configure': true }],
  ['pasta', '--no-copy-routes', { 'guest.copyRoutes': false }],
  ['pasta', '--no-copy-addrs', { 'guest.copyAddresses': false }],
  ['pasta', '--ns-mac-addr 02:00:00:00:00:01', { 'guest.mac': '02:00:00:00:00:01' }],
  ['pasta', '--no-splice', { 'guest.splice': false }],
  ['pasta', '--splice-only', { 'guest.spliceOnly': true }],
];

describe('readPastaCommandLine', () => {
  for (const program of ['pasta', 'passt'] as const) {
    it(`takes every option of ${program}`, () => {
      for (const [only, line, change] of SAMPLES) {
        if (only !== 'both' && only !== program) continue;
        assert.deepEqual(changes(program, line.split(' ')), leaves(change), line);
      }
    });
  }

  it('is tested with every row of the table, long and short', () => {
    const words = new Set(SAMPLES.flatMap(([, line]) => line.split(' ').map((word) => word.replace(/=.*/, ''))));
    const printed = ['help', 'version', 'print-capabilities'];
    assert.equal(PASTA_TABLE.length, 72);
    for (const { long, short } of PASTA_TABLE) {
      if (printed.includes(long)) continue;
      assert.ok(words.has(`--${long}`) || (short !== undefined && words.has(`-${short}`)), long);
    }
    const shorts = PASTA_TABLE.flatMap(({ short }) => (short === undefined ? [] : [short]));
    assert.equal(new Set(shorts).size, shorts.length);
  });

  it('has the defaults', () => {
    const pasta = plain(read('pasta', [])) as Record<string, unknown>;
    const passt = plain(read('passt', [])) as Record<string, unknown>;
    const common = {
      mtu: 65_520,
      logBytesMax: 1_048_576,
      families: 'both',
      dns: 'host',
      search: 'host',
      hostLoopback: 'gateway',
      mac: '9a:55:9a:55:9a:55',
    };
    for (const [key, value] of Object.entries({
      ...common,
      dhcpDns: false,
      tcpIn: 'auto',
      udpIn: 'auto',
      tcpOut: 'auto',
      udpOut: 'auto',
      udpInFollowsTcp: true,
    })) {
      assert.deepEqual(pasta[key], value, `pasta: ${key}`);
    }
    for (const [key, value] of Object.entries({
      ...common,
      dhcpDns: true,
      tcpIn: 'none',
      udpIn: 'none',
      tcpOut: 'none',
      udpOut: 'none',
      udpInFollowsTcp: true,
    })) {
      assert.deepEqual(passt[key], value, `passt: ${key}`);
    }
  });

  it('takes what podman starts', () => {
    const line =
      '--config-net -t 8080-8080:80-80 -t 127.0.0.1/8443-8443:443-443 --dns-forward 169.254.1.1 -u none -T none -U none ' +
      '--no-map-gw --quiet --netns /run/user/1000/netns/netns-1 --map-guest-addr 169.254.1.2';
    const options = plain(read('pasta', line.split(' '))) as Record<string, unknown> & {
      guest: Record<string, unknown>;
    };
    assert.equal(options['tcpIn'], '8080:80 127.0.0.1/8443:443');
    assert.equal(options['udpInFollowsTcp'], false);
    assert.equal(options.guest['configure'], true);
    assert.deepEqual(options.guest['target'], { kind: 'path', path: '/run/user/1000/netns/netns-1' });
    assert.deepEqual(options.guest['userNamespace'], { kind: 'none' });
  });

  it('takes what rootlesskit starts', () => {
    const line =
      '--foreground --stderr --ns-ifname=tap0 --mtu=65520 --no-dhcp --no-ra --address=10.0.2.100 --netmask=24 --gateway=10.0.2.2 ' +
      '--dns-forward=10.0.2.3 --no-map-gw --ipv4-only --tcp-ports=auto --udp-ports=auto 4242';
    const options = plain(read('pasta', line.split(' '))) as Record<string, unknown> & {
      guest: Record<string, unknown>;
    };
    assert.equal(options['netmaskLength'], 24);
    assert.equal(options['tcpIn'], 'auto');
    assert.equal(options.guest['configure'], false);
    assert.deepEqual(options.guest['target'], { kind: 'pid', pid: 4242 });
    assert.deepEqual(options.guest['userNamespace'], { kind: 'of-target' });
  });

  it('tells commands, processes and names apart', () => {
    const samples: [string, unknown, string][] = [
      ['', { kind: 'new', command: [] }, 'new'],
      ['ls -l --netns', { kind: 'new', command: ['ls', '-l', '--netns'] }, 'new'],
      ['-f -- ls -q', { kind: 'new', command: ['ls', '-q'] }, 'new'],
      ['123', { kind: 'pid', pid: 123 }, 'of-target'],
      ['-- 123', { kind: 'pid', pid: 123 }, 'of-target'],
      ['123 456', { kind: 'new', command: ['123', '456'] }, 'new'],
      ['123abc', { kind: 'new', command: ['123abc'] }, 'new'],
      ['--netns-only 123', { kind: 'pid', pid: 123 }, 'none'],
      ['--userns /u 123', { kind: 'pid', pid: 123 }, 'path'],
      ['--netns blue', { kind: 'path', path: '/run/netns/blue' }, 'none'],
      ['--netns /proc/7/ns/net --userns /proc/7/ns/user', { kind: 'path', path: '/proc/7/ns/net' }, 'path'],
      ['--netns ./blue', { kind: 'path', path: './blue' }, 'none'],
    ];
    for (const [line, target, userNamespace] of samples) {
      const { guest } = read('pasta', line === '' ? [] : line.split(' '));
      assert.ok(guest.kind === 'namespace');
      assert.deepEqual(guest.target, target, line);
      assert.equal(guest.userNamespace.kind, userNamespace, line);
    }
  });

  it('refuses with the option and its value', () => {
    const samples: ['pasta' | 'passt', string, RegExp][] = [
      ['pasta', '--bogus', /^pasta: unrecognized option '--bogus'\nTry "pasta --help"\.\n$/],
      ['pasta', '--bogus --version', /unrecognized/],
      ['pasta', '-s /x', /--socket is for passt only/],
      ['passt', '-T 22', /^passt: --tcp-ns is for pasta only/],
      ['passt', '-I x', /--ns-ifname is for pasta only/],
      ['passt', '--netns x', /--netns is for pasta only/],
      ['passt', '--config-net', /--config-net is for pasta only/],
      ['pasta', '--socket x', /--socket is for passt only/],
      ['pasta', '--vhost', /--vhost-user is for passt only/],
      [
        'pasta',
        '--no-d',
        /'--no-d' is ambiguous; possibilities: '--no-dhcp-dns' '--no-dhcp-search' '--no-dhcp' '--no-dhcpv6'/,
      ],
      ['pasta', '-m', /option requires an argument -- 'm'/],
      ['pasta', '-m x', /--mtu x: not a whole number/],
      ['pasta', '-m 67', /--mtu 67: below 68/],
      ['pasta', '-m 65536', /--mtu 65536: above 65535/],
      ['pasta', '--mtu=-1', /--mtu -1: not a whole/],
      ['pasta', '--stats 0', /--stats 0: below 1/],
      ['pasta', '--log-size 65535', /--log-size 65535: below 65536/],
      ['pasta', '--log-size 1M', /--log-size 1M: not a whole/],
      ['pasta', '--runas 1:', /--runas 1:: not a user/],
      ['pasta', '--pid=', /--pid "": empty/],
      ['pasta', '-a 10.0.0.1/33', /--address 10\.0\.0\.1\/33: its prefix length is above 32/],
      ['pasta', '-a 0.0.0.0', /unspecified/],
      ['pasta', '-a 127.0.0.1', /loopback/],
      ['pasta', '-a 224.0.0.1', /multicast/],
      ['pasta', '-a 255.255.255.255', /broadcast/],
      ['pasta', '-a 10.0.0.2/24 -n 24', /-n with -a ADDRESS\/LENGTH/],
      ['pasta', '-n 33', /--netmask 33: above 32/],
      ['pasta', '-n 255.0.255.0', /ones behind zeros/],
      ['pasta', '-M 2:0:0:0:0:1', /not a MAC/],
      ['pasta', '-M 00:00:00:00:00:00', /all zeros/],
      ['pasta', '--ns-mac-addr 03:00:00:00:00:01', /multicast/],
      ['pasta', '-g x', /--gateway x: not an address/],
      ['pasta', '-g 127.0.0.1', /loopback/],
      ['pasta', '-i interfacewithalongname', /--interface interfacewithalongname: 22 bytes/],
      ['pasta', '-I lo', /loopback interface/],
      ['pasta', '-o x', /--outbound x: not an address/],
      ['pasta', '-D x', /--dns x: not an address/],
      ['pasta', '--dns-forward 127.0.0.1', /--dns-forward 127\.0\.0\.1: a loopback/],
      ['pasta', '--search=', /--search "": no domain/],
      ['pasta', '-S a/b', /"a\/b" is not a name/],
      ['pasta', '--map-guest-addr x', /not an address/],
      ['pasta', '-t 22 -t 22', /--tcp-ports 22: port 22 is forwarded already/],
      ['pasta', '-t none -t 22', /"none" stands beside/],
      ['pasta', '-U 65536', /--udp-ns 65536: port 65536/],
      ['passt', '-t auto', /--tcp-ports auto: "auto" follows/],
      ['passt', `-s ${'a'.repeat(108)}`, /108 bytes long/],
      ['passt', '-F -1', /--fd -1: not a whole/],
      ['passt', '-F 3 -s /x', /--fd with --socket/],
      ['passt', 'foo', /"foo" is not an option/],
      ['pasta', '--netns x 1', /--netns x with "1"/],
      ['pasta', '--netns x ls', /--netns x with "ls"/],
      ['pasta', '--netns-only --userns /u', /--netns-only with --userns/],
      ['pasta', '--splice-only --no-splice', /--splice-only with --no-splice/],
      ['pasta', '0', /PID 0: below 1/],
      ['pasta', '999999999', /PID 999999999: above/],
    ];
    for (const [program, line, reason] of samples) {
      const result = readPastaCommandLine(program, line.split(' '), '0.1.0');
      assert.ok(result.kind === 'refused', `${line} was taken`);
      assert.match(result.text, reason, line);
      assert.match(result.text, /^pas(ta|st): [^\n]+\n[A-Zp][^\n]+\n$/, line);
    }
  });

  it('bounds lists', () => {
    const args = Array.from({ length: 65 }, (_, i) => ['-D', `192.0.2.${i + 1}`]).flat();
    const result = readPastaCommandLine('pasta', args, '0.1.0');
    assert.ok(result.kind === 'refused');
    assert.match(result.text, /more than 64/);
  });

  it('repeats no more of a value than a message can bear', () => {
    const result = readPastaCommandLine('pasta', ['-t', `${'22,'.repeat(10_000)}22`], '0.1.0');
    assert.ok(result.kind === 'refused');
    assert.match(result.text, /^pasta: --tcp-ports (22,){40}\.\.\.: port 22 is forwarded already\n/);
  });

  it('warns of what will go', () => {
    const result = readPastaCommandLine('pasta', ['--no-copy-routes'], '0.1.0');
    assert.ok(result.kind === 'run');
    assert.deepEqual(result.warnings, ['--no-copy-routes is deprecated']);
  });

  it('prints version, help and capabilities, whatever follows', () => {
    const printed = (program: PastaProgram, ...args: string[]): string => {
      const result = readPastaCommandLine(program, args, '0.1.0');
      assert.ok(result.kind === 'print');
      return result.text;
    };
    assert.equal(printed('pasta', '--version', '--bogus').split('\n')[0], 'pasta 0.1.0 (Tapster)');
    assert.equal(printed('passt', '--vers').split('\n')[0], 'passt 0.1.0 (Tapster)');
    assert.deepEqual(JSON.parse(printed('passt', '--print-capabilities')), { type: 'net' });
    for (const program of ['pasta', 'passt'] as const) {
      const help = printed(program, '-qfh');
      for (const { long, only } of PASTA_TABLE) {
        assert.equal(new RegExp(`--${long}\\b(?!-)`).test(help), only === undefined || only === program, long);
      }
      for (const line of help.split('\n')) assert.ok(line.length <= 100, line);
    }
  });

  it('reads noise without throwing', () => {
    const words = PASTA_TABLE.flatMap(({ long, short }) => [`--${long}`, `-${short ?? long}`, `--${long}=1`]);
    const word = fc.oneof(fc.constantFrom(...words, '22', '10.0.0.1', 'none', '--'), fc.string());
    fc.assert(
      fc.property(
        fc.array(word, { maxLength: 8 }),
        fc.constantFrom<PastaProgram[]>('pasta', 'passt'),
        (args, program) => {
          const result = readPastaCommandLine(program, args, '0.1.0');
          if (result.kind === 'refused') assert.equal(result.text.split('\n').length, 3);
        },
      ),
    );
  });
});
