/** The way to the world through sockets of the machine's: from several namespaces at once; and from there to ports that are published. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { patternHash } from '../support/netns/pattern.ts';
import { eventually } from '../support/netns/process.ts';
import { clientHere, inLab, ip, Namespace, onOwnMachine, serveHere } from './lab.ts';

await onOwnMachine(import.meta.url);

const SERVERS = ['198.51.100.1', '2001:db8:51::1'] as const;
const STREAM_BYTES = 2_000_000;

/** Two namespaces, and a third in a bridge. */
function network(more = '', published = ''): string {
  const routed = (name: string, net: number): string => `
  ${name}:
    tap: { host: { name: eth0, namespace: ${name}, address: [10.${net}.0.2/24, "fd00:${net}::2/64"], gateway: [10.${net}.0.1, "fd00:${net}::1"] }, offload: gso }
    address: [10.${net}.0.1/24, "fd00:${net}::1/64"]`;
  return `
interfaces:${routed('red', 1)}
    ${name(published)}${routed('blue', 2)}
  green:
    tap: { host: { name: eth0, namespace: green, address: [10.3.0.2/24, "fd00:3::2/64"], gateway: [10.3.0.1, "fd00:3::1"] } }
    bridge: lan
bridges: { lan: { bvi: { address: [10.3.0.1/24, "fd00:3::1/64"] } } }
uplink: { translate: host, hostLoopback: gateway }
routes: [ { to: 0.0.0.0/0, via: uplink }, { to: "::/0", via: uplink } ]
${more}`;
}

function name(published: string): string {
  return published === '' ? '' : `publish: [${published}]`;
}

describe('the uplink', () => {
  const lab = inLab();
  const namespaces: Record<string, Namespace> = {};
  const all = (): Namespace[] => Object.values(namespaces);
  before(async () => {
    ip('addr', 'add', `${SERVERS[0]}/32`, 'dev', 'lo');
    ip('addr', 'add', `${SERVERS[1]}/128`, 'dev', 'lo', 'nodad');
    for (const each of ['red', 'blue', 'green']) namespaces[each] = new Namespace(each);
    await lab.apply(network());
    await serveHere();
  });
  after(() => {
    for (const each of all()) each.delete();
  });

  it('carries echoes, datagrams and streams of all at once', async () => {
    for (const server of SERVERS) {
      await Promise.all(
        all().map(async (each) => {
          await each.reach(server);
          assert.deepEqual(await each.client('udp-echo', server, '7', '1200'), { echoed: true });
          const { bytes, sha256 } = await each.client('send', server, '9', String(STREAM_BYTES), '{}');
          assert.deepEqual({ bytes, sha256 }, { bytes: STREAM_BYTES, sha256: patternHash(STREAM_BYTES) });
        }),
      );
    }
  });

  it('says what the machine says: refused', async () => {
    for (const server of SERVERS) {
      const { outcome } = await namespaces['red']!.client<{ outcome: string }>('connect', server, '4');
      assert.equal(outcome, 'ECONNREFUSED');
    }
  });

  it("leads to the machine's own loopback by our address, where that is allowed", async () => {
    assert.deepEqual(await namespaces['red']!.client('udp-echo', '10.1.0.1', '7', '100'), { echoed: true });
    const { answer } = await namespaces['green']!.client<{ answer: string }>('exchange', '10.3.0.1', '7', 'hello');
    assert.equal(answer, 'hello');
  });

  it('does not stand between those who are behind us', async () => {
    await namespaces['red']!.reach('10.2.0.2');
    await namespaces['blue']!.reach('10.3.0.2');
    await namespaces['green']!.reach('fd00:1::2');
    assert.deepEqual(
      lab.network.flows({ protocol: 'icmp' }).filter(({ remote }) => remote.startsWith('10.')),
      [],
    );
  });

  it('lists its flows, by interface', async () => {
    const talk = await namespaces['red']!.talk(SERVERS[0]);
    await talk.say('hello');
    const [flow] = lab.network.flows({ interface: 'red', protocol: 'tcp' });
    assert.match(flow?.guest ?? '', /^10\.1\.0\.2:/);
    assert.deepEqual([flow?.interface, flow?.remote, flow?.direction], ['red', `${SERVERS[0]}:7`, 'out']);
    assert.deepEqual(
      lab.network.flows({ interface: 'blue', protocol: 'tcp' }).filter(({ outcome }) => outcome === 'open'),
      [],
    );
    const opened = await lab.heard('flow-opened', ({ data }) => data?.['id'] === flow?.id);
    assert.match(opened.message, /tcp 10\.1\.0\.2:\d+ -> 198\.51\.100\.1:7/);
    await talk.end();
    await lab.heard('flow-closed', ({ data }) => data?.['id'] === flow?.id);
  });

  it('keeps its streams while others come and go, and ends with its route', async () => {
    const talk = await namespaces['red']!.talk(SERVERS[0]);
    await talk.say('one');
    await lab.apply(network('neighbours: [ { interface: blue, address: 10.2.0.9, mac: "02:00:00:00:00:09" } ]'));
    await talk.say('two');
    await lab.apply(network().replace(/uplink: .*\nroutes: .*/, ''));
    const { text } = await namespaces['red']!.ping(SERVERS[0]);
    assert.match(text, /Unreachable/);
    assert.deepEqual(
      lab.network.flows({ protocol: 'tcp' }).filter(({ outcome }) => outcome === 'open'),
      [],
    );
    await lab.apply(network());
    await namespaces['red']!.reach(SERVERS[0]);
  });

  it('publishes ports of the machine, while it runs', async () => {
    await namespaces['red']!.serve();
    await lab.apply(network('', '"8007:7", "8007:7/udp"'));
    for (const address of ['127.0.0.1', SERVERS[0]]) {
      const { answer } = await clientHere<{ answer: string }>('exchange', address, '8007', 'hello');
      assert.equal(answer, 'hello');
    }
    assert.deepEqual(await clientHere('udp-echo', '127.0.0.1', '8007', '500'), { echoed: true });
    await lab.apply(network());
    assert.equal((await clientHere<{ outcome: string }>('connect', '127.0.0.1', '8007')).outcome, 'ECONNREFUSED');
  });

  it('publishes nothing where one port of several is taken', async () => {
    const failure = await lab.refuse(network('', '"8008:8", "7:7"'));
    assert.match(failure.message, /^\+ publish red 7:7\/tcp.*another program has it.*everything is as it was/s);
    assert.equal((await clientHere<{ outcome: string }>('connect', '127.0.0.1', '8008')).outcome, 'ECONNREFUSED');
  });
});

describe('the uplink of namespaces that have the same addresses inside', () => {
  const lab = inLab();
  const names = ['red', 'blue'];
  let namespaces: Namespace[];
  before(async () => {
    namespaces = names.map((each) => new Namespace(each));
    await serveHere();
  });
  after(() => {
    for (const each of namespaces) each.delete();
  });

  it('tells them apart by their interface', async () => {
    // Our own addresses differ, since each is of one interface; the network is the same.
    const each = (to: string, i: number): string => {
      const ours = ['10.0.0.1', '10.0.0.254'][i];
      return `  ${to}: { tap: { host: { name: eth0, namespace: ${to}, address: [10.0.0.2/24], gateway: [${ours}] } }, address: [${ours}/24] }\n`;
    };
    await lab.apply(
      `interfaces:\n${names.map(each).join('')}uplink: { translate: host }\nroutes: [ { to: 0.0.0.0/0, via: uplink } ]`,
    );
    await Promise.all(
      namespaces.map(async (namespace) => {
        await namespace.reach(SERVERS[0]);
        const talk = await namespace.talk(SERVERS[0]);
        await talk.say(`from ${namespace.name}`);
        await eventually(
          'its flow is told apart',
          () => lab.network.flows({ interface: namespace.name, protocol: 'tcp' }).length > 0,
        );
        await talk.end();
      }),
    );
  });
});

describe('what an interface serves', () => {
  const lab = inLab();
  let red: Namespace;
  before(() => {
    red = new Namespace('red');
  });
  after(() => red.delete());

  it('advertises itself as a router, and takes that back', async () => {
    red.shell(
      'echo 2 > /proc/sys/net/ipv6/conf/default/accept_ra; echo 3 > /proc/sys/net/ipv6/conf/default/router_solicitations',
    );
    const served = (services: string): string =>
      `interfaces: { tap0: { tap: { host: { name: eth0, namespace: red } }, address: ["fd00:9::1/64"] ${services} } }`;
    await lab.apply(served(', services: { ra: {} }'));
    assert.deepEqual(lab.interface('tap0').services, ['ra']);
    await eventually('an address is made', () => red.shell('ip -6 addr show eth0').includes('fd00:9:'));
    await eventually('a way out is known', () => /^default via fe80/m.test(red.shell('ip -6 route')));
    await red.reach('fd00:9::1');
    await lab.apply(served(''));
    assert.deepEqual(lab.interface('tap0').services, []);
    await eventually('it is no way out any more', () => !/^default via fe80/m.test(red.shell('ip -6 route')));
  });
});
