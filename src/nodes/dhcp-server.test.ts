import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { formatIpv4 } from '../base/address.ts';
import { ARC_DONE, ARC_NEXT } from '../graph/node.ts';
import * as dhcp from '../wire/dhcp.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as udpWire from '../wire/udp.ts';
import { DhcpServer, type DhcpServerSettings } from './dhcp-server.ts';
import { NeighbourWorld, OTHER_LINK } from './neighbour-fixtures.test.ts';
import { ethernet as ethernetFrame, ip4, udp } from './packet-fixtures.test.ts';
import { bytes, ip, LINK, prefix, receive, run } from './service-fixtures.test.ts';

const SETTINGS: DhcpServerSettings = {
  network: prefix('10.0.2.2/24'),
  first: ip('10.0.2.0'),
  last: ip('10.0.2.255'),
  leaseMs: 3_600_000,
  router: ip('10.0.2.2'),
  dns: [ip('10.0.2.2')],
  searchDomains: ['lab.example'],
  mtu: 1500,
};
const { DECLINE, DISCOVER, INFORM, RELEASE, REQUEST } = dhcp.TYPE;
const SERVER = '3604 0a000202';
const OTHER_SERVER = '3604 0a000209';
const RAPID = '5000';

function hex(address: string): string {
  return (ip(address).w3 >>> 0).toString(16).padStart(8, '0');
}

function wants(address: string): string {
  return `3204 ${hex(address)}`;
}

interface Fields {
  ciaddr?: string;
  giaddr?: string;
  flags?: string;
  from?: string;
  to?: string;
}

describe('the DHCP server of an interface', () => {
  let world: NeighbourWorld;
  let server: DhcpServer;

  beforeEach(() => {
    world = new NeighbourWorld();
    const { interfaces, addresses, sent: output, clock } = world;
    server = new DhcpServer({ interfaces, addresses, output, clock });
    server.configure(LINK, SETTINGS);
  });

  /** What becomes of a message of client `mac`: a drop reason, an arc, or the reply as `TYPE address [to destination]`. */
  function say(mac: number, type: number, options: string = '', fields: Fields = {}, on: number = LINK): string {
    const zero = '0.0.0.0';
    const ciaddr = hex(fields.ciaddr ?? zero);
    const head = `01010600 3f6e2a11 0000 ${fields.flags ?? '0000'} ${ciaddr} 00000000 00000000 ${hex(fields.giaddr ?? zero)}`;
    const chaddr = `0200000000${mac.toString(16).padStart(2, '0')}`;
    const fixed = `${head}${chaddr}`.replaceAll(' ', '').padEnd(236 * 2, '0');
    const rest = `63825363 3501 0${type}${options}ff`.replaceAll(' ', '');
    const message = bytes((fixed + rest).padEnd(600, '0'));
    const from = bytes(hex(fields.from ?? zero));
    const to = bytes(hex(fields.to ?? '255.255.255.255'));
    const frame = ethernetFrame(0x0800, ip4(17, udp(68, 67, message, from, to), { from, to }));
    const packet = receive(world.packets, frame);
    world.packets.rxInterface[packet] = on;
    const arc = run(server, world.packets, packet);
    if (arc === ARC_NEXT) return 'ip4-lookup';
    if (arc !== ARC_DONE) return String(arc);
    return world.sent.list.length === 0 ? 'done' : reply();
  }

  function reply(): string {
    const { packets } = world;
    const { view } = packets;
    const packet = world.sent.only();
    const start = packets.start[packet];
    const network = start + 14;
    const at = network + 28;
    const end = start + packets.length[packet];
    assert.ok(ipv4.verifyChecksum(view, network));
    assert.ok(udpWire.verifyChecksum(view, network, network + 20));
    assert.equal(formatIpv4(ipv4.source(view, network)), '10.0.2.2');
    assert.equal(dhcp.optionValue(view, at, end, dhcp.OPTION.SERVER, 4, 0), ip('10.0.2.2').w3);
    const destination = ipv4.destination(view, network);
    assert.equal(destination === -1, ethernet.isMulticast(view, start));
    const type = ['', '', 'OFFER', '', '', 'ACK', 'NAK'][dhcp.type(view, at, end)];
    return `${type} ${formatIpv4(dhcp.yourAddress(view, at))} to ${formatIpv4(destination)}`;
  }

  function wait(ms: number): void {
    world.clock.nowUs += ms * 1000;
  }

  /** Discovers and requests. */
  function lease(mac: number, options: string = ''): string {
    const offer = /^OFFER (\S+)/.exec(say(mac, DISCOVER, options))?.[1] ?? assert.fail('no offer');
    assert.equal(say(mac, REQUEST, `${SERVER}${wants(offer)}${options}`), `ACK ${offer} to ${offer}`);
    return offer;
  }

  it('gives each client an address, and never ours, the router, or an edge of the network', () => {
    server.configure(LINK, { ...SETTINGS, last: ip('10.0.2.5'), router: ip('10.0.2.4') });
    assert.deepEqual([lease(1), lease(7), lease(1)], ['10.0.2.1', '10.0.2.3', '10.0.2.1']);
    assert.equal(lease(8), '10.0.2.5');
    assert.equal(say(9, DISCOVER), 'dhcp-pool-exhausted');
    server.configure(LINK, { ...SETTINGS, first: ip('10.0.2.254') });
    assert.equal(lease(9), '10.0.2.254');
    assert.equal(say(10, DISCOVER), 'dhcp-pool-exhausted');
  });

  it('tells what is configured', () => {
    const all: Record<number, string> = { 1: 'ffffff00', 3: '0a000202', 6: '0a000202', 26: '05dc', 51: '00000e10' };
    all[119] = '036c6162076578616d706c6500';
    const send = (): void => void run(server, world.packets, receive(world.packets, discover()));
    send();
    const { packets } = world;
    const packet = world.sent.only();
    const at = packets.start[packet] + 42;
    const end = packets.start[packet] + packets.length[packet];
    for (const [code, expected] of Object.entries(all)) {
      const option = dhcp.findOption(packets.view, at, end, Number(code));
      assert.ok(option > 0, code);
      const data = packets.bytes.slice(option, option + dhcp.optionBytes(packets.view, option));
      assert.equal(Buffer.from(data).toString('hex'), expected, code);
    }
    server.configure(LINK, { ...SETTINGS, router: undefined, dns: [], searchDomains: [] });
    send();
    const bare = world.sent.only();
    const message = packets.start[bare] + 42;
    for (const code of [3, 6, 15, 119]) {
      assert.ok(dhcp.findOption(packets.view, message, packets.start[bare] + packets.length[bare], code) < 0);
    }
  });

  it('gives what a client wants where it is free', () => {
    assert.equal(say(1, DISCOVER, wants('10.0.2.77')), 'OFFER 10.0.2.77 to 10.0.2.77');
    assert.equal(say(2, DISCOVER, wants('10.0.2.77')), 'OFFER 10.0.2.1 to 10.0.2.1');
    assert.equal(say(3, DISCOVER, wants('192.0.2.1')), 'OFFER 10.0.2.3 to 10.0.2.3');
    assert.equal(say(4, DISCOVER, RAPID, { flags: '8000' }), 'ACK 10.0.2.4 to 255.255.255.255');
  });

  it('tells clients apart by their identifier, whatever their MAC address', () => {
    const id = '3d03 ff0102';
    assert.equal(lease(1, id), '10.0.2.1');
    assert.equal(lease(2, id), '10.0.2.1');
    assert.equal(lease(1), '10.0.2.3');
  });

  it('keeps an offer for a moment, or until another server is chosen', () => {
    server.configure(LINK, { ...SETTINGS, last: ip('10.0.2.1') });
    say(1, DISCOVER);
    assert.equal(say(2, DISCOVER), 'dhcp-pool-exhausted');
    assert.equal(say(1, REQUEST, `${OTHER_SERVER}${wants('10.0.2.9')}`), 'not-for-us');
    assert.equal(say(2, DISCOVER), 'OFFER 10.0.2.1 to 10.0.2.1');
    wait(30_000);
    assert.equal(say(3, DISCOVER), 'OFFER 10.0.2.1 to 10.0.2.1');
    assert.equal(say(2, REQUEST, `${SERVER}${wants('10.0.2.1')}`), 'NAK 0.0.0.0 to 255.255.255.255');
  });

  it('lets clients renew, rebind and come back', () => {
    const address = lease(1);
    const renew = { ciaddr: address, from: address, to: '10.0.2.2' };
    wait(3_000_000);
    assert.equal(say(1, REQUEST, '', renew), `ACK ${address} to ${address}`);
    wait(3_000_000);
    assert.equal(say(1, REQUEST, '', { ...renew, to: '255.255.255.255' }), `ACK ${address} to ${address}`);
    assert.equal(say(2, REQUEST, '', renew), 'NAK 0.0.0.0 to 255.255.255.255');
    wait(10_000_000);
    assert.equal(lease(2), '10.0.2.3', 'there is one that nobody ever had');
    assert.equal(say(1, REQUEST, wants(address)), `ACK ${address} to ${address}`);
    assert.equal(say(1, INFORM, '', { ciaddr: address }), `ACK 0.0.0.0 to ${address}`);
  });

  it('says no to who comes from another network, and nothing of what it does not know', () => {
    assert.equal(say(1, REQUEST, wants('192.0.2.7')), 'NAK 0.0.0.0 to 255.255.255.255');
    assert.equal(say(1, REQUEST, wants('10.0.2.7')), 'not-for-us');
    assert.equal(say(1, REQUEST), 'dhcp-invalid');
    const address = lease(1);
    assert.equal(say(1, REQUEST, wants('10.0.2.7')), 'NAK 0.0.0.0 to 255.255.255.255');
    assert.equal(say(2, REQUEST, `${SERVER}${wants(address)}`), 'NAK 0.0.0.0 to 255.255.255.255');
    server.configure(LINK, { ...SETTINGS, first: ip('10.0.2.100') });
    assert.equal(say(3, REQUEST, '', { ciaddr: '10.0.2.50', from: '10.0.2.50' }), 'not-for-us');
  });

  it('goes on with leases that it has forgotten', () => {
    const renew = { ciaddr: '10.0.2.50', from: '10.0.2.50', to: '10.0.2.2' };
    assert.equal(say(1, REQUEST, '', renew), 'ACK 10.0.2.50 to 10.0.2.50');
    assert.equal(say(2, REQUEST, '', renew), 'NAK 0.0.0.0 to 255.255.255.255');
  });

  it('gives released addresses to others at last, declined ones not for a while', () => {
    server.configure(LINK, { ...SETTINGS, last: ip('10.0.2.1') });
    const address = lease(1);
    assert.equal(say(2, RELEASE, '', { ciaddr: address }), 'done');
    assert.equal(say(2, DISCOVER), 'dhcp-pool-exhausted');
    assert.equal(say(1, RELEASE, '', { ciaddr: address }), 'done');
    assert.equal(lease(2), address);
    assert.equal(say(1, DECLINE, wants(address)), 'done');
    assert.equal(say(1, REQUEST, `${SERVER}${wants(address)}`), 'NAK 0.0.0.0 to 255.255.255.255');
    assert.equal(say(2, DECLINE, wants(address)), 'done');
    assert.equal(say(2, DISCOVER), 'dhcp-pool-exhausted');
    wait(600_000);
    assert.equal(lease(3), address);
  });

  it('keeps leases when other settings change, and forgets them with the service', () => {
    const address = lease(1);
    server.configure(LINK, { ...SETTINGS, dns: [] });
    assert.equal(say(2, REQUEST, `${SERVER}${wants(address)}`), 'NAK 0.0.0.0 to 255.255.255.255');
    server.configure(LINK, undefined);
    server.configure(99, undefined);
    assert.equal(say(1, DISCOVER), 'service-absent');
    server.configure(LINK, SETTINGS);
    assert.equal(lease(2), address);
  });

  it('lets pass what is for somebody else, and drops relays, other interfaces and nonsense', () => {
    for (const on of [LINK, OTHER_LINK]) {
      assert.equal(say(1, REQUEST, '', { from: '10.0.2.9', to: '192.0.2.1' }, on), 'ip4-lookup');
    }
    assert.equal(say(1, DISCOVER, '', {}, OTHER_LINK), 'service-absent');
    assert.equal(say(1, DISCOVER, '', { to: '10.0.2.255' }), 'OFFER 10.0.2.1 to 10.0.2.1');
    assert.equal(say(1, DISCOVER, '', { giaddr: '10.0.2.9' }), 'dhcp-relayed');
    assert.equal(say(1, 9), 'dhcp-invalid');
    const frame = discover();
    frame[42 + 28] |= 1;
    frame[40] = 0;
    frame[41] = 0;
    assert.equal(run(server, world.packets, receive(world.packets, frame)), 'dhcp-invalid', 'a group is no client');
  });

  it('never gives one address to two clients', () => {
    const message = fc.record({
      mac: fc.integer({ min: 1, max: 5 }),
      type: fc.constantFrom(DISCOVER, REQUEST, REQUEST, DECLINE, RELEASE),
      wanted: fc.integer({ min: 0, max: 8 }),
      named: fc.boolean(),
      renews: fc.boolean(),
      waitMs: fc.constantFrom(0, 0, 0, 40_000, 4_000_000),
    });
    fc.assert(
      fc.property(fc.array(message, { maxLength: 60 }), (messages) => {
        server.configure(LINK, undefined);
        server.configure(LINK, { ...SETTINGS, last: ip('10.0.2.6') });
        const bound = new Map<string, { mac: number; untilMs: number }>();
        for (const { mac, type, wanted, named, renews, waitMs } of messages) {
          world.packets.reset();
          wait(waitMs);
          const nowMs = world.clock.nowUs / 1000;
          const address = `10.0.2.${wanted}`;
          const ciaddr = renews || type === RELEASE ? { ciaddr: address } : {};
          const result = say(mac, type, `${named ? SERVER : ''}${wants(address)}`, ciaddr);
          if (type === RELEASE || type === DECLINE) {
            if (bound.get(address)?.mac === mac) bound.delete(address);
          }
          const [what, given] = result.split(' ');
          if (what !== 'ACK' && what !== 'OFFER') continue;
          assert.ok(!['10.0.2.0', '10.0.2.2'].includes(given) && Number(given.split('.')[3]) <= 6, given);
          const holder = bound.get(given);
          assert.ok(holder === undefined || holder.mac === mac || holder.untilMs <= nowMs, `${given} is taken`);
          if (what === 'ACK') {
            for (const [other, { mac: who }] of bound) if (who === mac) bound.delete(other);
            bound.set(given, { mac, untilMs: nowMs + 3_600_000 });
          }
        }
      }),
      { numRuns: 200 },
    );
  });
});

function discover(): number[] {
  const head = '01010600 3f6e2a11 0000 0000 00000000 00000000 00000000 00000000 020000000001';
  const fixed = head.replaceAll(' ', '').padEnd(236 * 2, '0');
  const message = bytes(`${fixed}63825363350101ff`.padEnd(600, '0'));
  const from = [0, 0, 0, 0];
  const to = [255, 255, 255, 255];
  return ethernetFrame(0x0800, ip4(17, udp(68, 67, message, from, to), { from, to }));
}
