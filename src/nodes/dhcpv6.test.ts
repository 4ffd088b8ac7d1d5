import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatIpWords, MacAddress } from '../base/address.ts';
import { Neighbours, NO_NEIGHBOUR } from '../flow/neighbours.ts';
import { ARC_DONE } from '../graph/node.ts';
import { type Packet, Packets } from '../packet/packets.ts';
import * as dhcpv6 from '../wire/dhcpv6.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as udp from '../wire/udp.ts';
import { Dhcpv6Input } from './dhcpv6.ts';
import { type Bytes, ethernet as ethernetFrame, ip6, udp as udpDatagram } from './packet-fixtures.test.ts';
import {
  arena,
  bytes,
  CONFIG,
  GUEST_LINK_LOCAL,
  GUEST_MAC,
  LINK,
  OUR_MAC,
  receive,
  run,
  Sent,
} from './service-fixtures.test.ts';

const { OPTION, STATUS, TYPE } = dhcpv6;

const SERVERS = bytes('ff02 0000 0000 0000 0000 0000 0001 0002');
const CLIENT = '0001 000e 0001 0001 2c5f0d3a 02005e100001';
const SERVER = '0002 000a 0003 0001 020000000002';
const OTHER_SERVER = '0002 000a 0003 0001 020000000099';
const WANTS_NAMES = '0006 0004 0017 0018';
const ASSOCIATION = '0003 000c 5e100001 00000e10 00001518';
const OURS = 'fd74 6170 7374 6572 0000 0000 0000 0100';

/** An IA_NA with addresses in it. */
function association(...addresses: string[]): string {
  const bytesInside = 12 + addresses.length * 28;
  const inside = addresses.map((address) => `0005 0018 ${address} 00000708 00000e10`).join('');
  return `0003 ${bytesInside.toString(16).padStart(4, '0')} 5e100001 00000000 00000000 ${inside}`;
}

function frame(type: number, ...options: string[]): number[] {
  const payload = bytes(type.toString(16).padStart(2, '0'), 'a1b2c3', ...options);
  const datagram = udpDatagram(546, 547, payload, GUEST_LINK_LOCAL, SERVERS);
  return ethernetFrame(0x86dd, ip6(17, datagram, { from: GUEST_LINK_LOCAL, to: SERVERS }));
}

interface Reply {
  type: number;
  /** The data of an option, as hex. */
  option(code: number): string | undefined;
  /** Each association: its code, and each address ("ADDRESS VALID-SECONDS") or status ("status N") in it. */
  associations: string[][];
}

function fresh(config: typeof CONFIG = CONFIG): {
  packets: Packets;
  sent: Sent;
  node: Dhcpv6Input;
  neighbours: Neighbours;
  ask(frameBytes: Bytes): Reply;
  refuse(frameBytes: Bytes): number | string;
} {
  const packets = arena();
  const sent = new Sent();
  const neighbours = new Neighbours();
  const node = new Dhcpv6Input(config, neighbours, sent);
  const refuse = (frameBytes: Bytes): number | string => run(node, packets, receive(packets, frameBytes));
  const ask = (frameBytes: Bytes): Reply => {
    assert.equal(refuse(frameBytes), ARC_DONE);
    return read(packets, sent.only());
  };
  return { packets, sent, node, neighbours, ask, refuse };
}

/** Checks what holds for every reply, and reads it. */
function read(packets: Packets, packet: Packet): Reply {
  const { view } = packets;
  const start = packets.start[packet];
  const network = start + 14;
  const transport = network + 40;
  const end = start + packets.length[packet];
  assert.ok(packets.length[packet] <= 14 + 1280);
  assert.equal(packets.txInterface[packet], LINK);
  assert.equal(packets.end[packet], end);
  assert.equal(packets.transport[packet], transport);
  assert.equal(packets.used, end);
  assert.equal(ethernet.sourceLow(view, start), OUR_MAC.low);
  assert.equal(ethernet.destinationHigh(view, start), GUEST_MAC.high);
  assert.equal(ethernet.destinationLow(view, start), GUEST_MAC.low);
  assert.equal(ipv6.check(view, network, end), 40);
  assert.equal(ipv6.payloadLength(view, network), end - transport);
  assert.equal(addressText(view, ipv6.sourceAt(network)), 'fe80::1');
  assert.equal(addressText(view, ipv6.destinationAt(network)), 'fe80::15');
  assert.equal(udp.check(view, transport, end), 8);
  assert.equal(udp.sourcePort(view, transport), 547);
  assert.equal(udp.destinationPort(view, transport), 546);
  assert.equal(udp.verifyChecksum(view, network, transport), true);
  const at = transport + 8;
  assert.equal(dhcpv6.check(view, at, end), 4);
  assert.equal(dhcpv6.transaction(view, at), 0xa1b2c3);
  const options = at + 4;
  const associations: string[][] = [];
  for (let option = options; option < end; option = dhcpv6.next(view, option)) {
    if ([3, 4, 25].includes(dhcpv6.optionCode(view, option))) associations.push(readAssociation(view, option));
  }
  return {
    type: dhcpv6.type(view, at),
    associations,
    option: (code) => {
      const option = dhcpv6.findOption(view, options, end, code);
      if (option < 0) return undefined;
      return Buffer.from(packets.bytes.slice(dhcpv6.data(option), dhcpv6.next(view, option))).toString('hex');
    },
  };
}

function readAssociation(view: DataView, association: number): string[] {
  const parts = [String(dhcpv6.optionCode(view, association))];
  const end = dhcpv6.next(view, association);
  for (let at = dhcpv6.associationOptions(view, association); at < end; at = dhcpv6.next(view, at)) {
    const isStatus = dhcpv6.optionCode(view, at) === OPTION.STATUS;
    const address = (): string => `${addressText(view, dhcpv6.data(at))} ${dhcpv6.validSeconds(view, at)}`;
    parts.push(isStatus ? `status ${dhcpv6.statusCode(view, at)}` : address());
  }
  return parts;
}

function addressText(view: DataView, at: number): string {
  return formatIpWords(view.getInt32(at), view.getInt32(at + 4), view.getInt32(at + 8), view.getInt32(at + 12));
}

const GIVEN = ['3', 'fd74:6170:7374:6572::100 3600'];

describe('dhcpv6-input', () => {
  it('knows where its client is as soon as it has the address, and not before', () => {
    const where = (...frames: number[][]): MacAddress | undefined => {
      const { ask, neighbours } = fresh();
      for (const each of frames) ask(each);
      const found = neighbours.find(LINK, 0xfd746170 | 0, 0x73746572, 0, 0x100);
      if (found === NO_NEIGHBOUR) return undefined;
      return new MacAddress(neighbours.macHigh(LINK, found), neighbours.macLow(LINK, found));
    };
    assert.deepEqual(where(frame(TYPE.REQUEST, CLIENT, SERVER, ASSOCIATION)), GUEST_MAC);
    assert.deepEqual(where(frame(TYPE.SOLICIT, CLIENT, '000e 0000', ASSOCIATION)), GUEST_MAC, 'rapid commit');
    const others = [frame(TYPE.SOLICIT, CLIENT, ASSOCIATION), frame(TYPE.RELEASE, CLIENT, SERVER, association(OURS))];
    assert.equal(where(...others), undefined);
  });

  it('advertises the configured address to SOLICIT, at the highest preference', () => {
    const { ask } = fresh();
    const reply = ask(frame(TYPE.SOLICIT, CLIENT, WANTS_NAMES, '0008 0002 0000', ASSOCIATION));
    assert.equal(reply.type, TYPE.ADVERTISE);
    assert.deepEqual(reply.associations, [GIVEN]);
    assert.equal(reply.option(OPTION.CLIENT_ID), '000100012c5f0d3a02005e100001');
    assert.equal(reply.option(OPTION.SERVER_ID), '00030001020000000002');
    assert.equal(reply.option(OPTION.PREFERENCE), 'ff');
    assert.equal(reply.option(OPTION.NAME_SERVERS), 'fe800000000000000000000000000001');
    assert.equal(reply.option(OPTION.SEARCH_LIST), '076578616d706c65036f726700' + '036c6162076578616d706c65036f726700');
    assert.equal(reply.option(OPTION.RAPID_COMMIT), undefined);
    const times = reply.option(OPTION.IA_NA)?.slice(0, 24);
    assert.equal(times, '5e100001' + '00000708' + '00000b40');
  });

  it('commits at once where the client asks for it', () => {
    const { ask } = fresh();
    const reply = ask(frame(TYPE.SOLICIT, CLIENT, '000e 0000', ASSOCIATION));
    assert.equal(reply.type, TYPE.REPLY);
    assert.equal(reply.option(OPTION.RAPID_COMMIT), '');
    assert.equal(reply.option(OPTION.PREFERENCE), undefined);
    assert.deepEqual(reply.associations, [GIVEN]);
  });

  it('gives the address to REQUEST, and takes others back in RENEW and REBIND', () => {
    const { ask } = fresh();
    const other = '2001 0db8 0000 0000 0000 0000 0000 0007';
    const requested = ask(frame(TYPE.REQUEST, CLIENT, SERVER, association(OURS)));
    assert.equal(requested.type, TYPE.REPLY);
    assert.deepEqual(requested.associations, [GIVEN]);
    for (const reply of [
      ask(frame(TYPE.RENEW, CLIENT, SERVER, association(OURS, other))),
      ask(frame(TYPE.REBIND, CLIENT, association(other, OURS))),
    ]) {
      assert.equal(reply.type, TYPE.REPLY);
      assert.deepEqual(reply.associations, [[...GIVEN, '2001:db8::7 0']]);
    }
  });

  it('never ends a lease that has no end', () => {
    const { ask } = fresh({ ...CONFIG, leaseSeconds: 0xffff_ffff });
    const reply = ask(frame(TYPE.REQUEST, CLIENT, SERVER, ASSOCIATION));
    assert.equal(reply.option(OPTION.IA_NA)?.slice(8, 24), 'ffffffffffffffff');
    assert.deepEqual(reply.associations, [['3', 'fd74:6170:7374:6572::100 4294967295']]);
  });

  it('refuses a second association, temporary addresses and prefixes, each with its status', () => {
    const { ask } = fresh();
    const second = '0003 000c 00000002 00000000 00000000';
    const reply = ask(
      frame(TYPE.SOLICIT, CLIENT, '0019 000c 00000001 00000000 00000000', ASSOCIATION, second, '0004 0004 00000003'),
    );
    assert.deepEqual(reply.associations, [
      GIVEN,
      ['25', `status ${STATUS.NO_PREFIX}`],
      ['3', `status ${STATUS.NO_ADDRESSES}`],
      ['4', `status ${STATUS.NO_ADDRESSES}`],
    ]);
  });

  it('confirms addresses of this link only', () => {
    const { ask, refuse, sent } = fresh();
    const near = 'fd74 6170 7374 6572 0000 0000 0000 0999';
    const far = '2001 0db8 0000 0000 0000 0000 0000 0007';
    assert.equal(ask(frame(TYPE.CONFIRM, CLIENT, association(OURS, near))).option(OPTION.STATUS), '0000');
    assert.equal(ask(frame(TYPE.CONFIRM, CLIENT, association(OURS, far))).option(OPTION.STATUS), '0004');
    assert.equal(refuse(frame(TYPE.CONFIRM, CLIENT, ASSOCIATION)), ARC_DONE);
    assert.equal(sent.list.length, 0);
  });

  it('takes RELEASE and DECLINE', () => {
    const { ask } = fresh();
    for (const type of [TYPE.RELEASE, TYPE.DECLINE]) {
      const reply = ask(frame(type, CLIENT, SERVER, association(OURS)));
      assert.equal(reply.type, TYPE.REPLY);
      assert.equal(reply.option(OPTION.STATUS), '0000');
      assert.deepEqual(reply.associations, []);
    }
  });

  it('answers INFORMATION-REQUEST with names and no address, also to who has no id', () => {
    const { ask } = fresh();
    const reply = ask(frame(TYPE.INFORMATION_REQUEST, '0006 0006 0017 0018 0020'));
    assert.equal(reply.type, TYPE.REPLY);
    assert.deepEqual(reply.associations, []);
    assert.equal(reply.option(OPTION.CLIENT_ID), undefined);
    assert.equal(reply.option(OPTION.NAME_SERVERS), 'fe800000000000000000000000000001');
    assert.equal(reply.option(OPTION.REFRESH_SECONDS), '00000e10');
  });

  it('tells only what is asked for', () => {
    const { ask } = fresh();
    const reply = ask(frame(TYPE.SOLICIT, CLIENT, '0006 0002 0018', ASSOCIATION));
    assert.equal(reply.option(OPTION.NAME_SERVERS), undefined);
    assert.ok(reply.option(OPTION.SEARCH_LIST));
  });

  it('drops what names too few or too many, and what is for another server', () => {
    const { refuse } = fresh();
    for (const [type, ...options] of [
      [TYPE.SOLICIT, ASSOCIATION],
      [TYPE.SOLICIT, CLIENT, SERVER, ASSOCIATION],
      [TYPE.REQUEST, CLIENT, ASSOCIATION],
      [TYPE.REQUEST, SERVER, ASSOCIATION],
      [TYPE.REBIND, CLIENT, SERVER, ASSOCIATION],
      [TYPE.INFORMATION_REQUEST, CLIENT, ASSOCIATION],
      [TYPE.ADVERTISE, CLIENT, SERVER, ASSOCIATION],
      [TYPE.REPLY, CLIENT, SERVER, ASSOCIATION],
      [12, CLIENT],
    ] as [number, ...string[]][]) {
      assert.equal(refuse(frame(type, ...options)), 'dhcpv6-invalid', `type ${type}`);
    }
    for (const type of [TYPE.REQUEST, TYPE.RENEW, TYPE.RELEASE]) {
      assert.equal(refuse(frame(type, CLIENT, OTHER_SERVER, ASSOCIATION)), 'not-for-us');
    }
    assert.equal(refuse(frame(TYPE.INFORMATION_REQUEST, OTHER_SERVER)), 'not-for-us');
  });

  it('drops what is damaged or cut short', () => {
    const { refuse } = fresh();
    assert.equal(refuse(frame(TYPE.SOLICIT, CLIENT, '0003 0002 0000')), 'dhcpv6-invalid');
    const damaged = frame(TYPE.SOLICIT, CLIENT, ASSOCIATION);
    damaged[70] ^= 1;
    assert.equal(refuse(damaged), 'udp-checksum-wrong');
    assert.equal(refuse(damaged.slice(0, 80)), 'udp-header-invalid');
    const without = frame(TYPE.SOLICIT, CLIENT, ASSOCIATION);
    without[60] = 0;
    without[61] = 0;
    assert.equal(refuse(without), 'udp-checksum-wrong');
  });

  it('is silent where it is turned off, counts a full arena, and follows a new configuration', () => {
    const { node, refuse, ask } = fresh({ ...CONFIG, dhcpv6: false });
    const solicit = frame(TYPE.SOLICIT, CLIENT, ASSOCIATION);
    assert.equal(refuse(solicit), 'protocol-disabled');
    const { ipv6: service, ...ipv4Only } = CONFIG;
    assert.ok(service);
    node.configure(ipv4Only);
    assert.equal(refuse(solicit), 'protocol-disabled');
    node.configure({ ...CONFIG, ipv6: { ...service, dns: [] }, searchDomains: [] });
    const reply = ask(solicit);
    assert.equal(reply.option(OPTION.NAME_SERVERS), undefined);
    assert.equal(reply.option(OPTION.SEARCH_LIST), undefined);
    const small = new Packets(300, 4);
    assert.equal(run(node, small, receive(small, solicit)), 'arena-full');
  });

  it("tells the client's name with its domain", () => {
    const reply = fresh({ ...CONFIG, fullName: 'vm.example.org' }).ask(frame(TYPE.SOLICIT, CLIENT, ASSOCIATION));
    assert.equal(reply.option(OPTION.FULL_NAME), '0402766d076578616d706c65036f726700');
    assert.equal(
      fresh()
        .ask(frame(TYPE.SOLICIT, CLIENT, ASSOCIATION))
        .option(OPTION.FULL_NAME),
      undefined,
    );
  });

  it('keeps its answer small whatever is asked', () => {
    const { ask } = fresh();
    const many = Array.from({ length: 200 }, (_, i) => `0004 0004 ${i.toString(16).padStart(8, '0')}`);
    const reply = ask(frame(TYPE.SOLICIT, CLIENT, ASSOCIATION, ...many));
    assert.deepEqual(reply.associations[0], GIVEN);
    assert.ok(reply.associations.length > 10);
    const addresses = Array.from({ length: 100 }, (_, i) => `2001 0db8 ${i.toString(16).padStart(24, '0')}`);
    const renewed = ask(frame(TYPE.REBIND, CLIENT, association(...addresses)));
    assert.equal(renewed.associations.length, 1);
    assert.ok(renewed.associations[0].length < 50);
  });

  it('survives any options', () => {
    const { packets, node, sent } = fresh();
    const known = fc.constantFrom(CLIENT, SERVER, ASSOCIATION, association(OURS), WANTS_NAMES, '000e0000', '00190000');
    const random = fc
      .tuple(fc.constantFrom(...Object.values(OPTION)), fc.uint8Array({ maxLength: 50 }))
      .map(([code, data]) => {
        return Buffer.from([0, code, 0, data.length, ...data]).toString('hex');
      });
    fc.assert(
      fc.property(fc.nat(14), fc.array(fc.oneof(known, random), { maxLength: 6 }), (type, options) => {
        packets.reset();
        sent.list.length = 0;
        run(node, packets, receive(packets, frame(type, ...options)));
        for (const packet of sent.list) read(packets, packet);
      }),
      { numRuns: 1000 },
    );
  });
});
