import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { formatIpv4, formatIpWords } from '../base/address.ts';
import { NEIGHBOUR_PENDING, Neighbours, NO_NEIGHBOUR } from '../flow/neighbours.ts';
import type { Packets } from '../packet/packets.ts';
import * as arp from '../wire/arp.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv6 from '../wire/ipv6.ts';
import { GuestSeeker } from './guest-seeker.ts';
import { arena, CONFIG, GATEWAY4, GUEST_MAC, GUEST4, LINK, OUR_MAC, Sent } from './service-fixtures.test.ts';

const MAPPED = 0xffff;
/** Of a neighbor solicitation (RFC 4861, section 4.3). */
const NS_TARGET = 8;
const SECOND_US = 1_000_000;

describe('a guest that has not spoken', () => {
  let packets: Packets;
  let sent: Sent;
  let clock: { nowUs: number };
  let neighbours: Neighbours;
  let seeker: GuestSeeker;

  beforeEach(() => {
    packets = arena();
    sent = new Sent();
    clock = { nowUs: 7 * SECOND_US };
    neighbours = new Neighbours();
    seeker = new GuestSeeker(CONFIG, neighbours, { packets, clock, output: sent });
  });

  const find4 = (): number => seeker.find(LINK, 0, 0, MAPPED, GUEST4);
  const find6 = (): number => seeker.find(LINK, 0xfd74_6170 | 0, 0x7374_6572, 0, 0x100);

  it('is asked for by ARP, by everybody, from the gateway', () => {
    assert.equal(find4(), NEIGHBOUR_PENDING);
    const packet = sent.only();
    const { view } = packets;
    assert.equal(packets.txInterface[packet], LINK);
    assert.equal(ethernet.destinationLow(view, packets.start[packet]), ethernet.BROADCAST_LOW);
    assert.equal(ethernet.sourceLow(view, packets.start[packet]), OUR_MAC.low);
    const at = packets.network[packet];
    assert.equal(arp.operation(view, at), arp.OPERATION_REQUEST);
    assert.equal(arp.senderAddress(view, at), GATEWAY4);
    assert.equal(formatIpv4(arp.targetAddress(view, at)), '10.0.2.100');
  });

  it('is asked for by neighbour discovery, from our link-local address', () => {
    assert.equal(find6(), NEIGHBOUR_PENDING);
    const packet = sent.only();
    const { view } = packets;
    const network = packets.network[packet];
    const text = (at: number): string =>
      formatIpWords(view.getInt32(at), view.getInt32(at + 4), view.getInt32(at + 8), view.getInt32(at + 12));
    assert.equal(text(ipv6.sourceAt(network)), 'fe80::1');
    assert.equal(text(ipv6.destinationAt(network)), 'ff02::1:ff00:100');
    assert.equal(text(network + 40 + NS_TARGET), 'fd74:6170:7374:6572::100');
  });

  it('is asked for once a second, three times, and is not there then; after some seconds anew', () => {
    for (let question = 1; question <= 3; question++) {
      assert.equal(find4(), NEIGHBOUR_PENDING);
      sent.only();
      assert.equal(find4(), NEIGHBOUR_PENDING);
      assert.equal(sent.list.length, 0, 'not twice at once');
      clock.nowUs += SECOND_US;
    }
    assert.equal(find4(), NO_NEIGHBOUR);
    clock.nowUs += 3 * SECOND_US;
    assert.equal(find4(), NO_NEIGHBOUR);
    assert.equal(sent.list.length, 0);
    clock.nowUs += SECOND_US;
    assert.equal(find4(), NEIGHBOUR_PENDING);
    sent.only();
  });

  it('is where it says, and those who wait are told once', () => {
    assert.equal(seeker.isSettled(), false);
    find4();
    find6();
    assert.equal(seeker.isSettled(), false);
    neighbours.learn(LINK, 0, 0, MAPPED, GUEST4, GUEST_MAC.high, GUEST_MAC.low);
    assert.equal(seeker.isSettled(), true);
    assert.equal(seeker.isSettled(), false);
    const found = find4();
    assert.equal(seeker.macHigh(LINK, found), GUEST_MAC.high);
    assert.equal(seeker.macLow(LINK, found), GUEST_MAC.low);
    assert.equal(find6(), NEIGHBOUR_PENDING);
  });

  it('is not asked for by an address that is not the one it was told', () => {
    assert.equal(seeker.find(LINK, 0, 0, MAPPED, GUEST4 + 1), NO_NEIGHBOUR);
    const { ipv4: _, ...ipv6Only } = CONFIG;
    seeker.configure(ipv6Only);
    assert.equal(find4(), NO_NEIGHBOUR);
    assert.equal(sent.list.length, 0);
  });
});
