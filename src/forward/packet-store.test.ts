import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { NO_PACKET, type Packet, Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import { PacketStore } from './packet-store.ts';

const BLOCK_BYTES = 2048;

function put(packets: Packets, bytes: number, mark: number): Packet {
  const packet = packets.allocate(bytes);
  const start = packets.start[packet];
  for (let i = -VNET_HEADER_BYTES; i < bytes; i++) packets.bytes[start + i] = mark + i;
  packets.network[packet] = start + 14;
  packets.transport[packet] = start + 34;
  packets.end[packet] = start + bytes;
  packets.protocol[packet] = mark & 0xff;
  packets.rxInterface[packet] = mark;
  return packet;
}

function bytesOf(packets: Packets, packet: Packet): Uint8Array {
  const start = packets.start[packet];
  return packets.bytes.slice(start - VNET_HEADER_BYTES, start + packets.length[packet]);
}

function drain(store: PacketStore, owner: number): number[] {
  const packets = new Packets();
  const marks: number[] = [];
  for (;;) {
    const packet = store.take(owner, packets);
    if (packet === NO_PACKET) return marks;
    marks.push(packets.rxInterface[packet]);
  }
}

describe('the packet store', () => {
  it('gives back what it was given: bytes, virtio-net header and columns', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 14, max: 70_000 }), { minLength: 1, maxLength: 8 }), (sizes) => {
        const store = new PacketStore();
        const packets = new Packets(1024 * 1024, 64);
        const expected = sizes.map((size, mark) => {
          const packet = put(packets, size, mark);
          store.put(3, packets, packet);
          return bytesOf(packets, packet);
        });
        packets.reset();
        packets.bytes.fill(0xee);
        packets.allocate(9);
        sizes.forEach((size, mark) => {
          const packet = store.take(3, packets);
          const start = packets.start[packet];
          assert.deepEqual(bytesOf(packets, packet), expected[mark]);
          const columns = [packets.network, packets.transport, packets.end].map((column) => column[packet] - start);
          assert.deepEqual(columns, [14, 34, size]);
          assert.deepEqual([packets.protocol[packet], packets.rxInterface[packet]], [mark, mark]);
          assert.deepEqual([packets.txInterface[packet], packets.flow[packet]], [-1, -1]);
        });
        assert.equal(store.take(3, packets), NO_PACKET);
        assert.equal(store.count, 0);
      }),
      { numRuns: 30 },
    );
  });

  it("drops an owner's oldest packet beyond its bound", () => {
    const store = new PacketStore(BLOCK_BYTES * 64, 4);
    const packets = new Packets();
    for (let mark = 0; mark < 10; mark++) store.put(1, packets, put(packets, 60, mark));
    store.put(2, packets, put(packets, 60, 99));
    assert.deepEqual([store.dropped, store.count, store.countOf(1), store.countOf(2)], [6, 5, 4, 1]);
    assert.deepEqual(drain(store, 1), [6, 7, 8, 9]);
    assert.deepEqual(drain(store, 2), [99]);
  });

  it('drops the oldest of all when its memory is full, and what is larger than all of it', () => {
    const store = new PacketStore(BLOCK_BYTES * 4, 16);
    const packets = new Packets();
    for (let mark = 0; mark < 4; mark++) assert.equal(store.put(mark, packets, put(packets, 60, mark)), true);
    assert.equal(store.put(4, packets, put(packets, BLOCK_BYTES * 2, 4)), true);
    assert.deepEqual(
      [0, 1, 2, 3, 4].map((owner) => store.countOf(owner)),
      [0, 0, 0, 1, 1],
    );
    assert.equal(store.put(5, packets, put(packets, BLOCK_BYTES * 4, 5)), false);
    assert.deepEqual([store.dropped, store.count], [4, 2]);
  });

  it('keeps a packet for which the arena has no room', () => {
    const store = new PacketStore();
    const packets = new Packets(4096, 4);
    store.put(1, packets, put(packets, 2000, 7));
    packets.reset();
    const filler = packets.allocate(3000);
    assert.equal(store.take(1, packets), NO_PACKET);
    assert.equal(store.countOf(1), 1);
    packets.trim(filler, 10);
    assert.notEqual(store.take(1, packets), NO_PACKET);
  });

  it('is an ordered queue for each owner, whatever comes and goes', () => {
    const step = fc.record({
      owner: fc.integer({ min: 0, max: 20 }),
      blocks: fc.integer({ min: 1, max: 5 }),
      what: fc.constantFrom('put', 'put', 'put', 'take', 'drop'),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
        const store = new PacketStore(BLOCK_BYTES * 16, 4);
        const packets = new Packets(128 * 1024, 64);
        let model: { owner: number; blocks: number; mark: number }[] = [];
        const remove = (mark: number | undefined): void => {
          model = model.filter((each) => each.mark !== mark);
        };
        steps.forEach(({ owner, blocks, what }, mark) => {
          packets.reset();
          const own = model.filter((each) => each.owner === owner);
          if (what === 'put') {
            store.put(owner, packets, put(packets, (blocks - 1) * BLOCK_BYTES + 100, mark));
            if (own.length === 4) remove(own[0]?.mark);
            while (model.reduce((sum, each) => sum + each.blocks, blocks) > 16) model.shift();
            model.push({ owner, blocks, mark });
          } else if (what === 'take') {
            const packet = store.take(owner, packets);
            assert.equal(packet === NO_PACKET ? undefined : packets.rxInterface[packet], own[0]?.mark);
            remove(own[0]?.mark);
          } else {
            store.drop(owner);
            model = model.filter((each) => each.owner !== owner);
          }
          assert.equal(store.count, model.length);
          assert.equal(store.usedBytes, BLOCK_BYTES * model.reduce((sum, each) => sum + each.blocks, 0));
        });
        for (let owner = 0; owner <= 20; owner++) {
          const marks = model.filter((each) => each.owner === owner).map(({ mark }) => mark);
          assert.deepEqual(drain(store, owner), marks);
        }
      }),
    );
  });
});
