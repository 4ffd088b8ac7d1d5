import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AUTO_FORWARDS, type ForwardRule, NO_FORWARDS } from '../../engine/forward-rules.ts';
import type { JoinOptions } from '../../engine/join-session.ts';
import type { NetworkDetails } from '../../engine/network-details.ts';
import { readPastaCommandLine } from './pasta-command-line.ts';
import type { PastaOptions } from './pasta-options.ts';
import { whyNotPasta } from './pasta-refusals.ts';
import { toGuestOptions, toJoinOptions } from './pasta-run-options.ts';

function read(program: 'pasta' | 'passt', words: string): PastaOptions {
  const line = readPastaCommandLine(program, words.split(' ').filter(Boolean), '0');
  assert.ok(line.kind === 'run', JSON.stringify(line));
  return line.options;
}

function join(words: string): JoinOptions {
  const options = read('pasta', words);
  assert.ok(options.guest.kind === 'namespace');
  return toJoinOptions(options, options.guest);
}

function details(words: string): NetworkDetails {
  const found = join(`${words} 42`).details;
  assert.ok(found !== undefined);
  return found;
}

describe('a namespace that is there', () => {
  it('is a process or a path, and ends us with it', () => {
    const ends = ({ networkNamespace, endsWithNamespace }: JoinOptions): unknown[] => [
      networkNamespace,
      endsWithNamespace,
    ];
    assert.deepEqual(ends(join('42')), ['pid:42', true]);
    assert.deepEqual(ends(join('--netns blue')), ['/run/netns/blue', true]);
    assert.deepEqual(ends(join('--netns /a/b --no-netns-quit')), ['/a/b', false]);
  });

  it('has a user namespace to join where one is named', () => {
    assert.equal(join('--userns /u 42').userNamespacePath, '/u');
    assert.equal(join('42').userNamespacePath, undefined);
    assert.equal(join('--netns-only --netns /a/b').userNamespacePath, undefined);
  });
});

describe('addresses', () => {
  const of = (words: string): string[] =>
    join(`${words} 42`).addresses.map(({ address, length }) => `${address}/${length}`);

  it('have the length that was given, that of the mask, or that of their class', () => {
    assert.deepEqual(of('-a 10.1.2.3/12 -a 2001:db8::7'), ['10.1.2.3/12', '2001:db8::7/64']);
    assert.deepEqual(of('-a 10.1.2.3 -n 255.255.0.0'), ['10.1.2.3/16']);
    assert.deepEqual(of('-a 10.1.2.3'), ['10.1.2.3/8']);
    assert.deepEqual(of('-a 172.16.0.1'), ['172.16.0.1/16']);
    assert.deepEqual(of('-a 192.0.2.1'), ['192.0.2.1/24']);
  });

  it('are the host’s with another mask where only that was given', () => {
    assert.equal(details('-n 20').netmaskLength, 20);
  });

  it('come without the other routes of the host where a gateway was given', () => {
    assert.equal(details('').copyRoutes, true);
    assert.equal(details('-g 10.0.0.1').copyRoutes, false);
    assert.equal(details('--no-copy-routes').copyRoutes, false);
  });
});

describe('what the guest is told', () => {
  it('is nothing of DNS for pasta, unless asked for, and the host’s for passt', () => {
    assert.deepEqual(details('').toldDns, []);
    assert.equal(details('--dhcp-dns --dhcp-search').toldDns, 'host');
    const options = read('passt', '');
    assert.ok(options.guest.kind === 'virtual-machine');
    const { toldDns, toldSearch } = toGuestOptions(options, options.guest).details!;
    assert.deepEqual([toldDns, toldSearch], ['host', 'host']);
  });

  it('is no MTU with -m 0, and then frames are those of any Ethernet', () => {
    assert.deepEqual([details('-m 0').tellsMtu, join('-m 0 42').mtu], [false, 1500]);
    assert.deepEqual([details('').tellsMtu, join('42').mtu], [true, 65_520]);
  });

  it('the host is at the gateway, elsewhere or nowhere', () => {
    assert.equal(details('').loopbackAddresses, 'gateway');
    assert.deepEqual(details('--no-map-gw').loopbackAddresses, []);
    assert.deepEqual(details('--map-host-loopback 10.0.0.9').loopbackAddresses.toString(), '10.0.0.9');
    assert.deepEqual(details('--map-guest-addr 10.0.0.8').sharedAddresses.toString(), '10.0.0.8');
  });
});

describe('ports', () => {
  it('of -t lead inside for UDP as well, unmapped and as far as they can be had, unless -u says otherwise', () => {
    const texts = (words: string): string[] => {
      const { tcpIn = NO_FORWARDS, udpIn = NO_FORWARDS } = join(`${words} 42`).forwards ?? {};
      const text = (rule: ForwardRule): string =>
        `${rule.address ?? '*'} ${rule.firstPort}-${rule.lastPort}:${rule.toPort}${rule.weak ? ' weak' : ''}`;
      return [...tcpIn.rules.map((rule) => `tcp ${text(rule)}`), ...udpIn.rules.map((rule) => `udp ${text(rule)}`)];
    };
    assert.deepEqual(texts('-t 8080-8082:80-82'), ['tcp * 8080-8082:80', 'udp * 8080-8082:8080 weak']);
    assert.deepEqual(texts('-t 127.0.0.1/22 -u none'), ['tcp 127.0.0.1 22-22:22']);
    assert.deepEqual(texts('-t 22 --no-tcp'), ['udp * 22-22:22 weak']);
  });

  it('follow those of the other side unless they are named, and are spliced unless that is not wanted', () => {
    const { forwards } = join('--no-splice --host-lo-to-ns-lo --freebind 42');
    assert.ok(forwards);
    const { tcpIn, udpIn, tcpOut, udpOut, ...others } = forwards;
    for (const spec of [tcpIn, udpIn, tcpOut, udpOut]) assert.deepEqual(spec, AUTO_FORWARDS);
    assert.deepEqual(others, {
      udpFollows: true,
      splice: false,
      hostLoopbackToNamespaceLoopback: true,
      freebind: true,
    });
    assert.equal(join('-t none -u none -T none -U none 42').forwards, undefined);
    assert.equal(join('-T 80 42').forwards?.splice, true);
    assert.ok(join('-t none -u none -T none -U none -c /a 42').forwards, 'they may come later');
  });
});

describe('a virtual machine', () => {
  it('is waited for at a path, at a series of them, or is there by a descriptor', () => {
    const of = (words: string): ReturnType<typeof toGuestOptions> => {
      const options = read('passt', words);
      assert.ok(options.guest.kind === 'virtual-machine');
      return toGuestOptions(options, options.guest);
    };
    const { socket } = of('');
    assert.ok(typeof socket === 'object');
    assert.equal(socket.pathOf(3), '/tmp/passt_3.socket');
    assert.equal(of('-s /a').socket, '/a');
    assert.deepEqual([of('-F 7').fd, of('-F 7').socket, of('-F 7').oneOff], [7, undefined, true]);
    assert.equal(of('--vhost-user').vhostUserPairs, 1);
  });
});

describe('what is not done', () => {
  it('is refused by name', () => {
    const cases: readonly (readonly ['pasta' | 'passt', string])[] = [
      ['passt', '--repair-path /a'],
      ['passt', '--migrate-exit'],
      ['passt', '--migrate-no-linger'],
      ['pasta', '--userns /u -- true'],
      ['pasta', '--userns /u'],
      ['pasta', '--netns-only -- true'],
    ];
    for (const [program, words] of cases) {
      const [option = ''] = words.split(' ');
      const refused = whyNotPasta(read(program, words));
      assert.ok(refused?.startsWith(option), `${words}: ${refused}`);
    }
    const done: readonly (readonly ['pasta' | 'passt', string])[] = [
      ['passt', '--repair-path none'],
      ['pasta', '--userns /u 7'],
      ['pasta', '--netns-only --netns /n'],
    ];
    for (const [program, words] of done) assert.equal(whyNotPasta(read(program, words)), undefined, words);
  });
});
