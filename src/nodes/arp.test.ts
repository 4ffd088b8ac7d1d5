import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Neighbours } from '../flow/neighbours.ts';
import { ARC_DONE, ARC_NEXT } from '../graph/node.ts';
import type { Packets } from '../packet/packets.ts';
import { ArpInput } from './arp.ts';
import { taken } from './packet-fixtures.test.ts';
import { arena, bytes, CONFIG, GATEWAY4, GUEST_MAC, GUEST4, LINK, receive, run } from './service-fixtures.test.ts';

const GUEST = '020000000001';
const OURS = '020000000002';
const EVERYBODY = 'ffffffffffff';
const ETHERNET_PADDING = '00'.repeat(18);

/** An ARP frame from the guest: operation, sender's and target's IPv4 address as hex. */
function arpFrame(operation: number, sender: string, target: string, mac: string = GUEST): number[] {
  const start = `${EVERYBODY}${mac}0806 0001 0800 06 04 000${operation}`;
  return bytes(start, mac, sender, '000000000000', target, ETHERNET_PADDING);
}

function fresh(): { packets: Packets; neighbours: Neighbours; node: ArpInput } {
  const neighbours = new Neighbours();
  return { packets: arena(), neighbours, node: new ArpInput(CONFIG, neighbours) };
}

describe('arp-input', () => {
  it('answers for the gateway and for any other address, in place and without padding', () => {
    for (const target of ['0a000202', '0a0002c8', 'c0000201']) {
      const { packets, node } = fresh();
      const packet = receive(packets, arpFrame(1, '0a000264', target));
      packets.bytes.fill(1, packets.start[packet] - 12, packets.start[packet]);
      assert.equal(run(node, packets, packet), ARC_NEXT);
      assert.deepEqual(
        taken(packets, packet),
        bytes(`${GUEST}${OURS}0806 0001 0800 06 04 0002`, OURS, target, GUEST, '0a000264'),
      );
      assert.equal(packets.txInterface[packet], LINK);
      assert.equal(packets.end[packet], packets.start[packet] + 42);
      assert.deepEqual(
        [...packets.bytes.slice(packets.start[packet] - 12, packets.start[packet])],
        bytes('00'.repeat(12)),
      );
    }
    assert.deepEqual(new ArpInput(CONFIG, new Neighbours()).next, ['interface-output']);
  });

  it("does not answer for the guest's own address, asked or probed", () => {
    for (const sender of ['0a000263', '00000000']) {
      const { packets, node } = fresh();
      assert.equal(run(node, packets, receive(packets, arpFrame(1, sender, '0a000264'))), 'arp-own-address');
    }
  });

  it('lets the guest take any address but the gateway', () => {
    const { packets, node } = fresh();
    assert.equal(run(node, packets, receive(packets, arpFrame(1, '00000000', '0a000237'))), 'arp-own-address');
    assert.equal(run(node, packets, receive(packets, arpFrame(1, '00000000', '0a000202'))), ARC_NEXT);
    assert.equal(run(node, packets, receive(packets, arpFrame(1, '0a000202', '0a000237'))), 'arp-own-address');
    assert.equal(run(node, packets, receive(packets, arpFrame(2, '0a000202', '0a000202'))), 'arp-own-address');
  });

  it('learns from requests, announcements and replies, and from no probe', () => {
    const { packets, node, neighbours } = fresh();
    const known = (address: number): boolean => neighbours.find(LINK, 0, 0, 0xffff, address) >= 0;
    run(node, packets, receive(packets, arpFrame(1, '00000000', '0a000237')));
    assert.equal(known(0), false);
    assert.equal(run(node, packets, receive(packets, arpFrame(1, '0a000264', '0a000264'))), ARC_DONE);
    assert.equal(run(node, packets, receive(packets, arpFrame(2, '0a000265', '0a000202'))), ARC_DONE);
    assert.deepEqual([known(GUEST4), known(0x0a000265), known(GATEWAY4)], [true, true, false]);
    const guest = neighbours.find(LINK, 0, 0, 0xffff, GUEST4);
    assert.equal(neighbours.macHigh(LINK, guest), GUEST_MAC.high);
    assert.equal(neighbours.macLow(LINK, guest), GUEST_MAC.low);
  });

  it('leaves a neighbour on the link to answer for itself, but not who asks for what it was itself', () => {
    const { packets, node } = fresh();
    run(node, packets, receive(packets, arpFrame(1, '0a000237', '0a000202', '020000000077')));
    assert.equal(run(node, packets, receive(packets, arpFrame(1, '0a000264', '0a000237'))), ARC_DONE);
    const itself = arpFrame(1, '0a000238', '0a000237', '020000000077');
    assert.equal(run(node, packets, receive(packets, itself)), ARC_NEXT);
  });

  it('drops what is no ARP for IPv4, names no host, or speaks for a group', () => {
    const { packets, node } = fresh();
    const valid = arpFrame(1, '0a000264', '0a000202').slice(0, 42);
    for (let length = 14; length < 42; length++) {
      assert.equal(run(node, packets, receive(packets, valid.slice(0, length))), 'arp-invalid');
    }
    for (const frame of [
      arpFrame(3, '0a000264', '0a000202'),
      arpFrame(0, '0a000264', '0a000202'),
      arpFrame(1, '0a000264', 'e0000001'),
      arpFrame(1, '0a000264', '7f000001'),
      arpFrame(1, '0a000264', '00000000'),
      arpFrame(1, 'ffffffff', '0a000202'),
      arpFrame(1, '0a000264', '0a000202', '010000000001'),
    ]) {
      assert.equal(run(node, packets, receive(packets, frame)), 'arp-invalid');
    }
  });

  it('is silent without IPv4, and follows a new configuration', () => {
    const { packets, node } = fresh();
    const { ipv4: _, ...ipv6Only } = CONFIG;
    node.configure(ipv6Only);
    assert.equal(run(node, packets, receive(packets, arpFrame(1, '0a000264', '0a000202'))), 'protocol-disabled');
    node.configure({ ...CONFIG, ourMac: GUEST_MAC });
    const packet = receive(packets, arpFrame(1, '0a000264', '0a000202'));
    assert.equal(run(node, packets, packet), ARC_NEXT);
    assert.deepEqual(taken(packets, packet).slice(6, 12), bytes(GUEST));
  });

  it('survives any bytes behind the Ethernet header', () => {
    const { packets, node } = fresh();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.boolean(), (random, plausible) => {
        packets.reset();
        if (plausible) random.set(bytes('0001080006040001').slice(0, random.length));
        run(node, packets, receive(packets, [...bytes(`${EVERYBODY}${GUEST}0806`), ...random]));
      }),
    );
  });
});
