import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatIpv4, MacAddress } from '../base/address.ts';
import { Neighbours, NO_NEIGHBOUR } from '../flow/neighbours.ts';
import { ARC_DONE } from '../graph/node.ts';
import { type Packet, Packets } from '../packet/packets.ts';
import * as dhcp from '../wire/dhcp.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as udp from '../wire/udp.ts';
import { DhcpInput } from './dhcp.ts';
import { type Bytes, ethernet as ethernetFrame, ip4, udp as udpDatagram } from './packet-fixtures.test.ts';
import {
  arena,
  bytes,
  CONFIG,
  GATEWAY4,
  GUEST_MAC,
  ip,
  LINK,
  OUR_MAC,
  prefix,
  receive,
  run,
  Sent,
} from './service-fixtures.test.ts';

const EVERYBODY = [255, 255, 255, 255];
const NOBODY = [0, 0, 0, 0];
const { OPTION, TYPE } = dhcp;

/** What dhclient asks for: mask, broadcast, time offset, router, domain, search list, DNS, host name, NTP, MTU, classless routes. */
const PARAMETERS = '370d 011c02030f77060c2c2f1a792a';

interface Fields {
  flags?: string;
  ciaddr?: string;
  giaddr?: string;
  mac?: string;
}

/** A client's message, padded to 300 bytes as clients do. */
function message(options: string, { flags, ciaddr, giaddr, mac }: Fields = {}): number[] {
  const zero = '00000000';
  const head = `01010600 3f6e2a11 0000 ${flags ?? '0000'} ${ciaddr ?? zero} ${zero} ${zero} ${giaddr ?? zero}`;
  const fixed = `${head}${mac ?? '020000000001'}`.replaceAll(' ', '').padEnd(236 * 2, '0');
  return bytes(`${fixed}63825363${options}ff`.replaceAll(' ', '').padEnd(600, '0'));
}

function frame(payload: Bytes, from: Bytes = NOBODY, to: Bytes = EVERYBODY): number[] {
  return ethernetFrame(0x0800, ip4(17, udpDatagram(68, 67, payload, from, to), { from, to }));
}

interface Reply {
  type: number;
  to: string;
  toPort: number;
  mac: MacAddress;
  given: string;
  broadcast: boolean;
  option(code: number): string | undefined;
}

function fresh(config: typeof CONFIG = CONFIG): {
  packets: Packets;
  sent: Sent;
  node: DhcpInput;
  neighbours: Neighbours;
  ask(frameBytes: Bytes): Reply;
} {
  const packets = arena();
  const sent = new Sent();
  const neighbours = new Neighbours();
  const node = new DhcpInput(config, neighbours, sent);
  const ask = (frameBytes: Bytes): Reply => {
    assert.equal(run(node, packets, receive(packets, frameBytes)), ARC_DONE);
    return read(packets, sent.only());
  };
  return { packets, sent, node, neighbours, ask };
}

/** Checks what holds for every reply, and reads it. */
function read(packets: Packets, packet: Packet): Reply {
  const { view } = packets;
  const start = packets.start[packet];
  const network = start + 14;
  const end = start + packets.length[packet];
  assert.equal(packets.txInterface[packet], LINK);
  assert.equal(packets.end[packet], end);
  assert.equal(packets.used, end);
  assert.equal(ethernet.sourceLow(view, start), OUR_MAC.low);
  assert.equal(ipv4.check(view, network, end), 20);
  assert.equal(ipv4.totalLength(view, network), end - network);
  assert.equal(ipv4.verifyChecksum(view, network), true);
  assert.equal(ipv4.source(view, network), GATEWAY4);
  const transport = network + 20;
  assert.equal(packets.transport[packet], transport);
  assert.equal(udp.check(view, transport, end), 8);
  assert.equal(udp.verifyChecksum(view, network, transport), true);
  assert.notEqual(udp.checksum(view, transport), 0);
  assert.equal(udp.sourcePort(view, transport), 67);
  const at = transport + 8;
  assert.ok(end - at >= 300);
  assert.equal(dhcp.check(view, at, end), dhcp.HEADER_BYTES);
  assert.equal(dhcp.operation(view, at), dhcp.OPERATION_REPLY);
  assert.equal(dhcp.transaction(view, at), 0x3f6e2a11);
  return {
    type: dhcp.type(view, at, end),
    to: formatIpv4(ipv4.destination(view, network)),
    toPort: udp.destinationPort(view, transport),
    mac: new MacAddress(ethernet.destinationHigh(view, start), ethernet.destinationLow(view, start)),
    given: formatIpv4(dhcp.yourAddress(view, at)),
    broadcast: dhcp.wantsBroadcast(view, at),
    option: (code) => {
      const option = dhcp.findOption(view, at, end, code);
      if (option < 0) return undefined;
      return Buffer.from(packets.bytes.slice(option, option + dhcp.optionBytes(view, option))).toString('hex');
    },
  };
}

describe('dhcp-input', () => {
  it('offers the configured address with all that the client wants', () => {
    const { ask } = fresh();
    const offer = ask(frame(message(`350101 3204c0a80107 ${PARAMETERS}`)));
    assert.equal(offer.type, TYPE.OFFER);
    assert.equal(offer.given, '10.0.2.100');
    assert.equal(offer.to, '10.0.2.100');
    assert.equal(offer.toPort, 68);
    assert.deepEqual(offer.mac, GUEST_MAC);
    const wanted: [number, string | undefined][] = [
      [OPTION.SERVER, '0a000202'],
      [OPTION.LEASE_SECONDS, '00000e10'],
      [OPTION.SUBNET_MASK, 'ffffff00'],
      [OPTION.ROUTERS, '0a000202'],
      [OPTION.NAME_SERVERS, '0a000203'],
      [OPTION.HOST_NAME, Buffer.from('guest').toString('hex')],
      [OPTION.DOMAIN_NAME, Buffer.from('example.org').toString('hex')],
      [OPTION.MTU, 'fff0'],
      [OPTION.SEARCH_LIST, '076578616d706c65036f726700036c6162c000'],
      [OPTION.CLASSLESS_ROUTES, undefined],
      [OPTION.RAPID_COMMIT, undefined],
    ];
    for (const [code, hex] of wanted) assert.equal(offer.option(code), hex, `option ${code}`);
  });

  it('tells only what is asked for, and everything to who does not say', () => {
    const { ask } = fresh();
    const some = ask(frame(message('350101 37020103')));
    assert.equal(some.option(OPTION.ROUTERS), '0a000202');
    assert.equal(some.option(OPTION.NAME_SERVERS), undefined);
    const all = ask(frame(message('350101')));
    for (const code of [1, 3, 6, 12, 15, 26, 119]) assert.ok(all.option(code), `option ${code}`);
  });

  it("tells the client's name with its domain, and nothing that is no name", () => {
    const discover = frame(message('350101'));
    const named = fresh({ ...CONFIG, fullName: 'vm.example.org' }).ask(discover);
    assert.equal(named.option(OPTION.FULL_NAME), '0cffff02766d076578616d706c65036f726700');
    assert.equal(fresh().ask(discover).option(OPTION.FULL_NAME), undefined);
    assert.equal(
      fresh({ ...CONFIG, fullName: 'a..b' })
        .ask(discover)
        .option(OPTION.FULL_NAME),
      undefined,
    );
  });

  it('acknowledges the address, in whichever state the client is', () => {
    const { ask } = fresh();
    const selecting = ask(frame(message('350103 32040a000264 36040a000202')));
    const rebooting = ask(frame(message('350103 32040a000264')));
    const renewing = ask(frame(message('350103', { ciaddr: '0a000264' }), bytes('0a000264'), bytes('0a000202')));
    const rebinding = ask(frame(message('350103', { ciaddr: '0a000264' }), bytes('0a000264')));
    for (const reply of [selecting, rebooting, renewing, rebinding]) {
      assert.equal(reply.type, TYPE.ACK);
      assert.equal(reply.given, '10.0.2.100');
      assert.equal(reply.to, '10.0.2.100');
      assert.equal(reply.option(OPTION.LEASE_SECONDS), '00000e10');
    }
  });

  it('knows where its client is as soon as it has the address, and not before', () => {
    const where = (...payloads: number[][]): MacAddress | undefined => {
      const { packets, node, neighbours } = fresh();
      for (const payload of payloads) run(node, packets, receive(packets, frame(payload)));
      const found = neighbours.find(LINK, 0, 0, 0xffff, 0x0a000264);
      if (found === NO_NEIGHBOUR) return undefined;
      return new MacAddress(neighbours.macHigh(LINK, found), neighbours.macLow(LINK, found));
    };
    assert.deepEqual(where(message('350101'), message('350103 32040a000264')), GUEST_MAC);
    assert.deepEqual(where(message('350101 5000')), GUEST_MAC, 'rapid commit');
    const others = [message('350101'), message('350103 3204c0a80107'), message('350108', { ciaddr: '0a000264' })];
    const relayed = message('350103 32040a000264', { giaddr: '0a0002fe' });
    const fromGroup = message('350103 32040a000264', { mac: '010000000001' });
    assert.equal(where(...others, relayed, fromGroup), undefined);
  });

  it('refuses another address to everybody, and tells nothing else', () => {
    const { ask } = fresh();
    for (const payload of [
      message('350103 3204c0a80107 36040a000202'),
      message('350103 3204c0a80107'),
      message('350103', { ciaddr: 'c0a80107' }),
    ]) {
      const nak = ask(frame(payload));
      assert.equal(nak.type, TYPE.NAK);
      assert.equal(nak.given, '0.0.0.0');
      assert.equal(nak.to, '255.255.255.255');
      assert.deepEqual(nak.mac, new MacAddress(0xffff, -1));
      assert.equal(nak.option(OPTION.SERVER), '0a000202');
      for (const code of [OPTION.LEASE_SECONDS, OPTION.ROUTERS]) assert.equal(nak.option(code), undefined);
    }
  });

  it('commits at once where the client asks for it', () => {
    const { ask } = fresh();
    const reply = ask(frame(message('350101 5000')));
    assert.equal(reply.type, TYPE.ACK);
    assert.equal(reply.given, '10.0.2.100');
    assert.equal(reply.option(OPTION.RAPID_COMMIT), '');
  });

  it('answers INFORM without address and lease', () => {
    const { ask } = fresh();
    const reply = ask(frame(message('350108', { ciaddr: '0a000237' }), bytes('0a000237')));
    assert.equal(reply.type, TYPE.ACK);
    assert.equal(reply.given, '0.0.0.0');
    assert.equal(reply.to, '10.0.2.55');
    assert.equal(reply.option(OPTION.LEASE_SECONDS), undefined);
    assert.equal(reply.option(OPTION.NAME_SERVERS), '0a000203');
  });

  it('broadcasts where asked, and goes back through a relay, which is told its own information', () => {
    const { ask } = fresh();
    const wide = ask(frame(message('350101', { flags: '8000' })));
    assert.equal(wide.to, '255.255.255.255');
    assert.equal(wide.broadcast, true);
    assert.deepEqual(wide.mac, new MacAddress(0xffff, -1));
    const behind: Fields = { giaddr: '0a0002fe', mac: '0200000000aa' };
    const relayed = ask(frame(message('350101 3d04 00616263 5204 01027878', behind), bytes('0a0002fe')));
    assert.equal(relayed.to, '10.0.2.254');
    assert.equal(relayed.toPort, 67);
    assert.deepEqual(relayed.mac, GUEST_MAC);
    assert.equal(relayed.option(OPTION.RELAY_INFORMATION), '01027878');
    assert.equal(relayed.option(OPTION.CLIENT_ID), '00616263');
  });

  it('sends classless routes where the plain router option is not enough', () => {
    assert.ok(CONFIG.ipv4);
    const outside = { ...CONFIG.ipv4, address: prefix('192.0.2.7/32'), routes: [] };
    const far = fresh({ ...CONFIG, ipv4: outside });
    far.node.configure({ ...CONFIG, ipv4: outside });
    const offer = far.ask(frame(message('350101')));
    assert.equal(offer.option(OPTION.CLASSLESS_ROUTES), '200a00020200000000' + '000a000202');
    assert.equal(offer.option(OPTION.SUBNET_MASK), 'ffffffff');
    const routes = [
      { destination: prefix('172.16.0.0/12'), gateway: ip('10.0.2.9') },
      { destination: prefix('10.9.0.0/16') },
    ];
    const near = fresh({ ...CONFIG, ipv4: { ...CONFIG.ipv4, routes } }).ask(frame(message('350101')));
    assert.equal(near.option(OPTION.CLASSLESS_ROUTES), '0cac100a000209' + '100a0900000000' + '000a000202');
  });

  it('leaves out what does not fit into what the client takes, never what it echoes', () => {
    const searchDomains = Array.from({ length: 12 }, (_, i) => `${'x'.repeat(20)}${i}.org`);
    const { ask, packets, sent, node } = fresh({ ...CONFIG, searchDomains });
    const small = ask(frame(message('350101 3d04 00616263')));
    assert.equal(small.option(OPTION.SEARCH_LIST), undefined);
    assert.equal(small.option(OPTION.NAME_SERVERS), '0a000203');
    assert.equal(small.option(OPTION.CLIENT_ID), '00616263');
    run(node, packets, receive(packets, frame(message('350101 3902 05dc'))));
    const packet = sent.only();
    assert.ok(packets.length[packet] > 590 && packets.length[packet] <= 14 + 1500);
    assert.ok(read(packets, packet).option(OPTION.SEARCH_LIST));
  });

  it('serves only the configured client, where there is one', () => {
    const { packets, node, ask } = fresh({ ...CONFIG, guestMac: GUEST_MAC });
    assert.equal(ask(frame(message('350101'))).given, '10.0.2.100');
    const other = frame(message('350101', { mac: '020000000009' }));
    assert.equal(run(node, packets, receive(packets, other)), 'not-for-us');
  });

  it('needs no answer to RELEASE and DECLINE, and none for other servers', () => {
    const { packets, node, sent } = fresh();
    for (const type of ['07', '04']) {
      const payload = message(`3501${type} 36040a000202`, { ciaddr: '0a000264' });
      assert.equal(run(node, packets, receive(packets, frame(payload))), ARC_DONE);
    }
    const elsewhere = frame(message('350103 32040a000264 3604c0a80101'));
    assert.equal(run(node, packets, receive(packets, elsewhere)), 'not-for-us');
    assert.equal(sent.list.length, 0);
  });

  it('drops what is no message from a client', () => {
    const { packets, node } = fresh();
    const drop = (payload: Bytes): number | string => run(node, packets, receive(packets, frame(payload)));
    assert.equal(drop(message('')), 'dhcp-invalid');
    assert.equal(drop(message('350105')), 'dhcp-invalid');
    assert.equal(drop(message('350103')), 'dhcp-invalid');
    assert.equal(drop([2, ...message('350101').slice(1)]), 'dhcp-invalid');
    assert.equal(drop(message('350101').slice(0, 243)), 'dhcp-invalid');
    const damaged = frame(message('350101'));
    damaged[50] ^= 1;
    assert.equal(run(node, packets, receive(packets, damaged)), 'udp-checksum-wrong');
    const long = frame(message('350101'));
    long[38] = 0xff;
    assert.equal(run(node, packets, receive(packets, long)), 'udp-header-invalid');
  });

  it('is silent where it is turned off, and counts a full arena', () => {
    const { packets, node } = fresh({ ...CONFIG, dhcp: false });
    const discover = frame(message('350101'));
    assert.equal(run(node, packets, receive(packets, discover)), 'protocol-disabled');
    const { ipv4: _, ...ipv6Only } = CONFIG;
    node.configure(ipv6Only);
    assert.equal(run(node, packets, receive(packets, discover)), 'protocol-disabled');
    node.configure(CONFIG);
    const small = new Packets(500, 4);
    assert.equal(run(node, small, receive(small, discover)), 'arena-full');
  });

  it('survives any options', () => {
    const { packets, node, sent } = fresh();
    const option = fc
      .tuple(fc.nat(255), fc.uint8Array({ maxLength: 20 }))
      .map(([code, data]) => [code, data.length, ...data]);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.array(option), fc.nat(300), (type, options, cut) => {
        packets.reset();
        sent.list.length = 0;
        const fixed = message(`35010${type}`).slice(0, 243);
        const whole = [...fixed, ...options.flat(), 255];
        run(node, packets, receive(packets, frame(whole.slice(0, whole.length - (cut < whole.length ? cut % 7 : 0)))));
        for (const packet of sent.list) read(packets, packet);
      }),
    );
  });
});
