/** Two namespaces whose only way to each other is a network of ours, by the kernel's own programs: hosts behind a router. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { patternHash } from '../support/netns/pattern.ts';
import { eventually } from '../support/netns/process.ts';
import { lacking } from '../support/netns/programs.ts';
import { inLab, Namespace, onOwnMachine } from './lab.ts';

await onOwnMachine(import.meta.url);

const STREAM_BYTES = 3_000_000;
const FAMILIES = [
  { family: 4, gateway: '10.0.0.1', red: '10.0.0.2', blue: '10.1.0.2', blueGateway: '10.1.0.1', nowhere: '10.77.0.1' },
  {
    family: 6,
    gateway: 'fd00:a::1',
    red: 'fd00:a::2',
    blue: 'fd00:b::2',
    blueGateway: 'fd00:b::1',
    nowhere: 'fd77::1',
  },
] as const;

function twoNamespaces({ red = 'none', blue = 'none', redMtu = 1500, blueMtu = 1500 } = {}): string {
  return `
interfaces:
  tap0:
    tap: { host: { name: eth0, namespace: red, address: [10.0.0.2/24, "fd00:a::2/64"], gateway: [10.0.0.1, "fd00:a::1"] }, offload: ${red} }
    address: [10.0.0.1/24, "fd00:a::1/64"]
    mtu: ${redMtu}
  tap1:
    tap: { host: { name: eth0, namespace: blue, address: [10.1.0.2/24, "fd00:b::2/64"], gateway: [10.1.0.1, "fd00:b::1"] }, offload: ${blue} }
    address: [10.1.0.1/24, "fd00:b::1/64"]
    mtu: ${blueMtu}
`;
}

describe('two namespaces, routed', () => {
  const lab = inLab();
  let red: Namespace;
  let blue: Namespace;
  before(async () => {
    red = new Namespace('red');
    blue = new Namespace('blue');
    await lab.apply(twoNamespaces());
    await blue.serve();
  });
  after(() => {
    red.delete();
    blue.delete();
  });

  for (const { family, gateway, blue: theirs, blueGateway, nowhere } of FAMILIES) {
    describe(`IPv${family}`, () => {
      it('carries echoes, one hop less on the other side', async () => {
        const { answered, text } = await red.ping(theirs);
        assert.ok(answered, text);
        assert.match(text, /(ttl|hop limit)=63/);
      });

      it('answers at each of our addresses, near and far', async () => {
        await red.reach(gateway);
        await red.reach(blueGateway);
        await red.reach(gateway, { bytes: 1400 });
      });

      it('takes echoes in fragments, and gives them', async () => {
        await red.reach(theirs, { bytes: 4000 });
        await red.reach(gateway, { bytes: 4000 });
      });

      it('says where a packet ended: no route, no hops left', async () => {
        const lost = await red.ping(nowhere);
        assert.match(lost.text, new RegExp(`From ${gateway}.*(Net Unreachable|No route)`, 'i'));
        const ended = await red.ping(theirs, { ttl: 1 });
        assert.match(ended.text, new RegExp(`From ${gateway}.*(Time to live exceeded|Hop limit)`, 'i'));
      });

      it('refuses connections to closed ports, theirs and ours', async () => {
        assert.equal((await red.client('connect', theirs, '4'))['outcome'], 'ECONNREFUSED');
        assert.equal((await red.client('connect', gateway, '4'))['outcome'], 'ECONNREFUSED');
        assert.equal((await red.client('udp-echo', theirs, '4', '10'))['error'], 'ECONNREFUSED');
        assert.equal((await red.client('udp-echo', gateway, '4', '10'))['error'], 'ECONNREFUSED');
      });

      it('carries datagrams', async () => {
        assert.deepEqual(await red.client('udp-echo', theirs, '7', '1200'), { echoed: true });
        assert.deepEqual(await red.client('udp-echo', theirs, '7', '9000'), { echoed: true });
      });
    });
  }

  it('is one hop of a traceroute', { skip: lacking('traceroute') }, async () => {
    for (const { gateway, blue: theirs } of FAMILIES) {
      const { stdout } = await red.run('traceroute', '-n', '-q', '1', '-w', '30', theirs);
      const hops = [...stdout.matchAll(/^ *\d+ +(\S+)/gm)].map(([, hop]) => hop);
      assert.deepEqual(hops, [gateway, theirs]);
    }
  });
});

// covers V4, V8, V9
describe('streams between taps with and without offloads', () => {
  const lab = inLab();
  let red: Namespace;
  let blue: Namespace;
  before(async () => {
    red = new Namespace('red');
    blue = new Namespace('blue');
    await lab.apply(twoNamespaces());
    await red.serve();
    await blue.serve();
  });
  after(() => {
    red.delete();
    blue.delete();
  });

  for (const [a, b] of [
    ['none', 'none'],
    ['gso', 'none'],
    ['gso', 'gso'],
    ['csum', 'gso'],
    ['none', 'csum'],
  ] as const) {
    it(`${a} and ${b}: every byte, both ways, both families`, async () => {
      // Switched while it runs.
      await lab.apply(twoNamespaces({ red: a, blue: b }));
      for (const { red: ours, blue: theirs } of FAMILIES) {
        const [there, back] = await Promise.all([
          red.client('send', theirs, '9', String(STREAM_BYTES), '{}'),
          blue.client('send', ours, '9', String(STREAM_BYTES), '{}'),
        ]);
        for (const { bytes, sha256 } of [there, back]) {
          assert.deepEqual({ bytes, sha256 }, { bytes: STREAM_BYTES, sha256: patternHash(STREAM_BYTES) });
        }
      }
    });
  }

  it('lets large frames in where segmentation is offloaded, and cuts them where the other side has none', async () => {
    await lab.apply(twoNamespaces({ red: 'gso', blue: 'none' }));
    const software = () => lab.network.hardware().find(({ name }) => name === 'tap1')!.software;
    const before = software();
    lab.network.clear('interfaces');
    await red.client('send', '10.1.0.2', '9', String(STREAM_BYTES), '{}');
    const { segmented, segments } = software();
    assert.ok(segmented > before.segmented);
    assert.ok(segments - before.segments > 2 * (segmented - before.segmented));
    const { rxPackets, rxBytes } = lab.interface('tap0').counters;
    assert.ok(rxBytes / rxPackets > 1600, `${rxBytes} bytes in ${rxPackets} frames`);
    const { bytes, packets } = received(blue) as { bytes: number; packets: number };
    assert.ok(bytes / packets <= 1514, `${bytes} bytes in ${packets} frames`);
  });
});

describe('links of different MTU', () => {
  const lab = inLab();
  let red: Namespace;
  let blue: Namespace;
  before(async () => {
    red = new Namespace('red');
    blue = new Namespace('blue');
    await lab.apply(twoNamespaces({ redMtu: 9000, blueMtu: 1400 }));
    await blue.serve();
  });
  after(() => {
    red.delete();
    blue.delete();
  });

  it('gives the kernel the MTU that is ours', () => {
    const [link] = red.list<{ mtu: number }>('link show eth0');
    assert.equal(link?.mtu, 9000);
  });

  it('tells what fits: fragmentation needed, packet too big', async () => {
    const four = await red.ping('10.1.0.2', { bytes: 2000, dontFragment: true });
    assert.match(four.text, /From 10\.0\.0\.1.*(Frag needed|message too long).*1400/i);
    const six = await red.ping('fd00:b::2', { bytes: 2000, dontFragment: true });
    assert.match(six.text, /From fd00:a::1.*Packet too big.*mtu=1400/i);
  });

  it('cuts IPv4 packets that may be cut', async () => {
    // What the kernel has learnt above would have it cut them itself.
    red.shell('ip route flush cache');
    red.shell('echo 1 > /proc/sys/net/ipv4/ip_no_pmtu_disc');
    await red.reach('10.1.0.2', { bytes: 5000 });
    await red.reach('fd00:b::2', { bytes: 5000, count: 2 });
  });

  it('lets streams find the way through', async () => {
    for (const { blue: theirs } of FAMILIES) {
      const { bytes, sha256 } = await red.client('send', theirs, '9', String(STREAM_BYTES), '{}');
      assert.deepEqual({ bytes, sha256 }, { bytes: STREAM_BYTES, sha256: patternHash(STREAM_BYTES) });
    }
  });

  it('follows a change of the MTU while it runs', async () => {
    await lab.apply(twoNamespaces({ redMtu: 9000, blueMtu: 9000 }));
    await eventually('the kernel has it', () => blue.list<{ mtu: number }>('link show eth0')[0]?.mtu === 9000);
    red.shell('ip route flush cache; ip -6 route flush cache');
    await red.reach('10.1.0.2', { bytes: 8000, dontFragment: true });
  });
});

// RFC 1812, sections 5.3.5.2 and 5.3.7
describe('packets that a router does not pass on', () => {
  const lab = inLab();
  let red: Namespace;
  let blue: Namespace;
  before(async () => {
    red = new Namespace('red');
    blue = new Namespace('blue');
    await lab.apply(twoNamespaces());
    await red.reach('10.1.0.2');
    // Nobody is to ask us there who we are, and be answered.
    const { mac } = lab.interface('tap1');
    for (const ours of ['10.1.0.1', 'fd00:b::1']) blue.shell(`ip neigh replace ${ours} lladdr ${mac} dev eth0`);
  });
  after(() => {
    red.delete();
    blue.delete();
  });

  const refused = async (what: readonly string[], reason: string): Promise<void> => {
    const before = lab.dropped(reason);
    const sent = lab.interface('tap1').counters.txPackets;
    const ping = red.start(['ping', '-n', '-c', '1', ...what]);
    await eventually(`${what.join(' ')}: ${reason}`, () => lab.dropped(reason) > before);
    assert.equal(lab.interface('tap1').counters.txPackets, sent);
    ping.kill('SIGKILL');
    await ping.ended;
  };

  it('directed broadcasts', () => refused(['-b', '10.1.0.255'], 'directed-broadcast'));

  it('those from martians', async () => {
    red.shell('ip addr add 127.5.0.1/32 dev eth0; echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet');
    red.shell('ip addr add 240.0.0.1/32 dev eth0');
    await refused(['-I', '127.5.0.1', '10.1.0.2'], 'ip4-loopback');
    await refused(['-I', '240.0.0.1', '10.1.0.2'], 'ip4-source-invalid');
  });

  it('those of link-local and for multicast addresses', async () => {
    red.shell('ip addr add 169.254.5.5/16 dev eth0');
    await refused(['-I', '169.254.5.5', '10.1.0.2'], 'link-local-scope');
    await refused(['-I', 'eth0', 'ff0e::7'], 'multicast');
  });
});

/** What the kernel's side has taken. */
function received(namespace: Namespace): Record<string, number> {
  const [link] = namespace.list<{ stats64: { rx: Record<string, number> } }>('-s link show eth0');
  return link!.stats64.rx;
}
