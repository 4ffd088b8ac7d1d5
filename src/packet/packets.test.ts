import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Lender, NO_PACKET, NOT_LENT, Packets, VNET_HEADER_BYTES } from './packets.ts';

const ARENA_BYTES = 4096;
const PACKETS_MAX = 20;

test('packets of any sizes never overlap, stay in the arena, and start 2 mod 4 behind their Ethernet header', () => {
  const sizes = fc.array(fc.tuple(fc.integer({ min: 0, max: 700 }), fc.boolean()), { maxLength: 40 });
  fc.assert(
    fc.property(sizes, (list) => {
      const packets = new Packets(ARENA_BYTES, PACKETS_MAX);
      packets.bytes.fill(0xff);
      let end = 0;
      let count = 0;
      for (const [bytes, shorten] of list) {
        const hadRoom = packets.hasRoom(bytes);
        const packet = packets.allocate(bytes);
        assert.equal(packet !== NO_PACKET, hadRoom);
        if (packet === NO_PACKET) continue;
        assert.equal(packet, count++);
        const start = packets.start[packet];
        assert.ok(start - VNET_HEADER_BYTES >= end);
        assert.equal((start + 14) & 3, 2, 'the IP header lies at 2 mod 4, as the kernel has it');
        assert.ok(packets.bytes.subarray(start - VNET_HEADER_BYTES, start).every((byte) => byte === 0));
        packets.bytes.fill(0xff, start, start + bytes);
        if (shorten) packets.trim(packet, bytes >> 1);
        assert.equal(packets.length[packet], shorten ? bytes >> 1 : bytes);
        assert.equal(packets.end[packet], start + packets.length[packet]);
        end = start + packets.length[packet];
        assert.equal(packets.used, end);
        assert.ok(end <= ARENA_BYTES);
      }
      assert.equal(packets.count, count);
    }),
  );
});

test('a new packet belongs to nobody, and the columns of its predecessor are gone', () => {
  const packets = new Packets(ARENA_BYTES, PACKETS_MAX);
  const first = packets.allocate(60);
  packets.flow[first] = 9;
  packets.reason[first] = 3;
  packets.rxInterface[first] = 1;
  packets.txInterface[first] = 2;
  packets.reset();
  assert.equal(packets.allocate(60), first);
  assert.deepEqual(
    [packets.flow[first], packets.reason[first], packets.rxInterface[first], packets.txInterface[first]],
    [-1, 0, -1, -1],
  );
});

test('there is an end to columns, and to bytes', () => {
  const packets = new Packets(ARENA_BYTES, 2);
  packets.allocate(1);
  packets.allocate(1);
  assert.equal(packets.allocate(1), NO_PACKET);
  const small = new Packets(64, 10);
  assert.equal(small.allocate(60), NO_PACKET);
  assert.equal(small.allocate(48), 0);
  assert.equal(small.allocate(0), NO_PACKET);
});

test('adopted bytes are left as they are, header included', () => {
  const packets = new Packets(ARENA_BYTES, PACKETS_MAX);
  packets.bytes.fill(7);
  const packet = packets.adopt(VNET_HEADER_BYTES, 100);
  assert.equal(packets.start[packet], 12);
  assert.equal(packets.end[packet], 112);
  assert.equal(packets.used, 112);
  assert.ok(packets.bytes.every((byte) => byte === 7));
  const next = packets.allocate(10);
  assert.equal(packets.start[next], 124);
});

test('an alias has every column of its packet, and no bytes of its own', () => {
  const packets = new Packets(ARENA_BYTES, 3);
  const packet = packets.allocate(60);
  const columns = Object.values(packets).filter((each) => ArrayBuffer.isView(each) && 'fill' in each) as Int32Array[];
  const perPacket = columns.filter((column) => column.length === 3);
  assert.ok(perPacket.length >= 10);
  perPacket.forEach((column, at) => {
    column[packet] = 100 + at;
  });
  const { used } = packets;
  const alias = packets.alias(packet);
  assert.equal(alias, 1);
  perPacket.forEach((column, at) => {
    assert.equal(column[alias], 100 + at);
  });
  assert.equal(packets.used, used);
  assert.equal(packets.alias(alias), 2);
  assert.equal(packets.alias(packet), NO_PACKET);
  assert.equal(packets.count, 3);
});

test('lent payload is gathered once, by its lender, who has it back when the arena is empty', () => {
  const packets = new Packets(ARENA_BYTES, PACKETS_MAX);
  const told: string[] = [];
  const lender: Lender = {
    pieces: new Int32Array(0),
    gather: (all, packet) => {
      told.push(`gather ${packet}`);
      all.lent[packet] = NOT_LENT;
    },
    giveBack: () => told.push('back'),
  };
  const whole = packets.allocate(60);
  const packet = packets.allocate(60);
  packets.lender = lender;
  packets.lent[packet] = 4;
  packets.lentCount[packet] = 2;
  const alias = packets.alias(packet);
  assert.deepEqual([packets.lent[alias], packets.lentCount[alias]], [4, 2]);
  for (const each of [whole, packet, packet, alias]) packets.gather(each);
  assert.deepEqual(told, ['gather 1', 'gather 2']);
  packets.reset();
  packets.reset();
  assert.deepEqual(told, ['gather 1', 'gather 2', 'back']);
  packets.allocate(60);
  assert.equal(packets.allocate(60), packet);
  assert.equal(packets.lent[packet], NOT_LENT);
});
