import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { DeviceQueue } from './device-queue.ts';
import { DriverQueue, queueLayout } from './driver-queue.ts';
import { type PlainMemory, plainMemory, region } from './guest-memory-fixture.test.ts';

const USER = 0x7f00_0000_0000;
const BUFFERS = 0x8000;
const BYTES = 0x1_0000;
const SIZE = 8;
const LAYOUT = queueLayout(SIZE);
const RING = {
  size: SIZE,
  descriptors: USER,
  available: USER + LAYOUT.available,
  used: USER + LAYOUT.used,
};
const { NEXT, WRITE, INDIRECT } = { NEXT: 1, WRITE: 2, INDIRECT: 4 };

type Descriptor = readonly [address: number | bigint, length: number, flags: number, next: number];

interface Rig extends PlainMemory {
  readonly queue: DeviceQueue;
  readonly view: DataView<ArrayBuffer>;
}

function rig(eventIndex: boolean = false, base: number = 0): Rig {
  const plain = plainMemory([BYTES]);
  assert.ok(plain.memory.add(region(0, USER, BYTES), 0).ok);
  const view = new DataView(plain.files[0]!.buffer);
  view.setUint16(LAYOUT.used + 2, base, true);
  const queue = new DeviceQueue(plain.memory, { ring: RING, base, eventIndex, indirect: true });
  return { ...plain, queue, view };
}

function describeAt(view: DataView, at: number, [address, length, flags, next]: Descriptor): void {
  view.setBigUint64(at, BigInt(address), true);
  view.setUint32(at + 8, length, true);
  view.setUint16(at + 12, flags, true);
  view.setUint16(at + 14, next, true);
}

/** Writes descriptors from the first on, and shows a chain that begins there. */
function show({ view }: Rig, descriptors: readonly Descriptor[], head: number = 0): void {
  for (const [i, descriptor] of descriptors.entries()) describeAt(view, i * 16, descriptor);
  const index = view.getUint16(LAYOUT.available + 2, true);
  view.setUint16(LAYOUT.available + 4 + (index % SIZE) * 2, head, true);
  view.setUint16(LAYOUT.available + 2, index + 1, true);
}

function piecesOf({ pieces, pieceCount }: DeviceQueue): number[][] {
  return Array.from({ length: pieceCount }, (_, i) => [...pieces.subarray(3 * i + 1, 3 * i + 3)]);
}

describe("a device's queue", () => {
  // covers V7
  it('takes chains, those to be read before those to be written', () => {
    const each = rig();
    show(each, [
      [BUFFERS, 12, NEXT, 2],
      [0, 0, 0, 0],
      [BUFFERS + 100, 88, NEXT, 3],
      [BUFFERS + 999, 0, NEXT, 4],
      [BUFFERS + 200, 50, WRITE, 77],
    ]);
    const { queue } = each;
    assert.equal(queue.take(), true);
    assert.deepEqual(piecesOf(queue), [
      [BUFFERS, 12],
      [BUFFERS + 100, 88],
      [BUFFERS + 200, 50],
    ]);
    assert.deepEqual([queue.head, queue.readableCount, queue.readableBytes, queue.writableBytes], [0, 2, 100, 50]);
    assert.equal(queue.take(), false);
    queue.untake(1);
    assert.deepEqual([queue.waiting, queue.take(), queue.base], [1, true, 1]);
  });

  it('takes indirect chains, behind direct descriptors too', () => {
    const each = rig();
    describeAt(each.view, BUFFERS + 16, [BUFFERS + 500, 5, 0, 9]);
    describeAt(each.view, BUFFERS, [BUFFERS + 400, 4, NEXT, 1]);
    show(each, [
      [BUFFERS + 300, 3, NEXT, 1],
      [BUFFERS, 32, INDIRECT, 0],
    ]);
    assert.equal(each.queue.take(), true);
    assert.deepEqual(piecesOf(each.queue), [
      [BUFFERS + 300, 3],
      [BUFFERS + 400, 4],
      [BUFFERS + 500, 5],
    ]);
  });

  it('cuts a buffer that lies across regions', () => {
    const each = rig();
    const more = plainMemory([BYTES, 4096]);
    more.files[0]!.set(each.files[0]!);
    assert.ok(more.memory.replace([region(0, USER, BYTES), region(BYTES, USER + 2 * BYTES, 4096)], [0, 1]).ok);
    const queue = new DeviceQueue(more.memory, { ring: RING, base: 0, eventIndex: false, indirect: false });
    show({ ...each, ...more, queue, view: new DataView(more.files[0]!.buffer) }, [[BYTES - 10, 100, WRITE, 0]]);
    assert.equal(queue.take(), true);
    assert.deepEqual([...queue.pieces.subarray(0, 6)], [0, BYTES - 10, 10, 100, 0, 90]);
  });

  const wrong: readonly (readonly [why: RegExp, descriptors: readonly Descriptor[], head?: number])[] = [
    [/descriptor 8 of a queue of 8/, [], 8],
    [/descriptor 65535/, [[BUFFERS, 1, NEXT, 0xffff]]],
    [/without an end/, [[BUFFERS, 1, NEXT, 0]]],
    [
      /without an end/,
      [
        [BUFFERS, 1, NEXT, 1],
        [BUFFERS, 1, NEXT, 0],
      ],
    ],
    [/outside of the memory/, [[BYTES, 1, 0, 0]]],
    [/outside of the memory/, [[BYTES - 1, 2, 0, 0]]],
    [/outside of the memory/, [[BUFFERS, 0xffff_ffff, 0, 0]]],
    [/outside of the memory/, [[0xffff_ffff_ffff_ffffn, 1, 0, 0]]],
    [/outside of the memory/, [[0x20_0000_0000_0000n, 1, 0, 0]]],
    [
      /read behind one to be written/,
      [
        [BUFFERS, 1, WRITE | NEXT, 1],
        [BUFFERS, 1, 0, 0],
      ],
    ],
    [/indirect descriptor with a next/, [[BUFFERS, 16, INDIRECT | NEXT, 1]]],
    [/indirect table of 0 bytes/, [[BUFFERS, 0, INDIRECT, 0]]],
    [/indirect table of 17 bytes/, [[BUFFERS, 17, INDIRECT, 0]]],
    [/indirect table of 4294967280 bytes/, [[BUFFERS, 0xffff_fff0, INDIRECT, 0]]],
    [/table outside of the memory/, [[BYTES - 16, 32, INDIRECT, 0]]],
  ];
  for (const [why, descriptors, head] of wrong) {
    it(`is broken by ${why.source}: ${JSON.stringify(descriptors, (_, value) => (typeof value === 'bigint' ? value.toString(16) : value))}`, () => {
      const each = rig();
      show(each, descriptors, head);
      assert.equal(each.queue.take(), false);
      assert.match(each.queue.broken, why);
      assert.deepEqual([each.queue.take(), each.queue.waiting, each.queue.publish()], [false, 0, false]);
    });
  }

  it('is broken by a nested indirect table, by one that loops, and by one that was not negotiated', () => {
    for (const [descriptor, why] of [
      [[BUFFERS, 16, INDIRECT, 0], /inside another/],
      [[BUFFERS, 1, NEXT, 0], /indirect chain without an end/],
      [[BUFFERS, 1, NEXT, 1], /descriptor 1 of an indirect table of 1/],
    ] as const) {
      const each = rig();
      describeAt(each.view, BUFFERS, descriptor);
      show(each, [[BUFFERS, 16, INDIRECT, 0]]);
      assert.equal(each.queue.take(), false);
      assert.match(each.queue.broken, why);
    }
    const each = rig();
    const queue = new DeviceQueue(each.memory, { ring: RING, base: 0, eventIndex: false, indirect: false });
    show(each, [[BUFFERS, 16, INDIRECT, 0]]);
    assert.deepEqual([queue.take(), queue.broken], [false, 'an indirect descriptor that was not negotiated']);
  });

  it('is broken by an index that jumps, and by a place that is not in the memory', () => {
    const each = rig();
    each.view.setUint16(LAYOUT.available + 2, SIZE + 1, true);
    assert.deepEqual([each.queue.take(), each.queue.broken], [false, '9 entries are shown of a queue of 8']);
    for (const ring of [
      { ...RING, used: USER + BYTES - 8 },
      { ...RING, descriptors: USER + 8 },
      { ...RING, available: USER - 2 },
      { ...RING, size: 7 },
      { ...RING, size: 65_536 },
      { ...RING, used: Number.POSITIVE_INFINITY },
    ]) {
      const queue = new DeviceQueue(each.memory, { ring, base: 0, eventIndex: true, indirect: true });
      assert.notEqual(queue.broken, '');
      queue.disableKicks();
      assert.deepEqual([queue.take(), queue.enableKicks(), queue.publish()], [false, false, false]);
    }
  });

  it('is broken when its region goes, and lives where it comes back', () => {
    const each = rig();
    each.memory.remove(region(0, USER, BYTES));
    each.queue.locate();
    assert.equal(each.queue.broken, 'the queue does not lie in the memory');
    show(each, [[BUFFERS, 1, 0, 0]]);
    assert.deepEqual([each.queue.take(), each.queue.enableKicks()], [false, false]);
    assert.ok(each.memory.add(region(0, USER, BYTES), 0).ok);
    each.queue.locate();
    assert.deepEqual([each.queue.broken, each.queue.take()], ['', true]);
  });

  it('stays broken when its region goes and comes back', () => {
    const each = rig();
    show(each, [[BYTES, 1, 0, 0]]);
    assert.equal(each.queue.take(), false);
    const why = each.queue.broken;
    each.memory.remove(region(0, USER, BYTES));
    each.queue.locate();
    assert.ok(each.memory.add(region(0, USER, BYTES), 0).ok);
    each.queue.locate();
    assert.deepEqual([each.queue.broken, each.queue.take()], [why, false]);
  });

  it('goes on where the driver left the used ring, though it is started before its memory is there', () => {
    const each = rig(false, 7);
    each.memory.remove(region(0, USER, BYTES));
    const queue = new DeviceQueue(each.memory, { ring: RING, base: 7, eventIndex: false, indirect: true });
    assert.ok(each.memory.add(region(0, USER, BYTES), 0).ok);
    queue.locate();
    queue.use(3, 5);
    assert.equal(queue.publish(), true);
    assert.equal(each.view.getUint16(LAYOUT.used + 2, true), 8);
  });

  for (const eventIndex of [false, true]) {
    it(`serves a driver for longer than the indexes count, each waking the other when he must, ${eventIndex ? 'with' : 'without'} EVENT_IDX`, () => {
      const steps = fc.array(fc.tuple(fc.nat(8), fc.nat(8), fc.nat(3)), { minLength: 10, maxLength: 40 });
      fc.assert(
        fc.property(steps, (turns) => {
          const { queue, memory, files } = rig(eventIndex);
          assert.ok(memory.regionCount === 1);
          const driver = new DriverQueue(files[0]!, 0, SIZE, eventIndex);
          const held: number[] = [];
          let offered = 0;
          let taken = 0;
          let kicked = true;
          let called = true;
          for (let lap = 0; lap < 400; lap++) {
            for (const [offers, uses, back] of turns) {
              for (let i = 0; i < offers && driver.room > 0; i++) driver.offer(BUFFERS + (offered++ % 1000), 7, true);
              if (driver.publish()) kicked = true;
              // The device sleeps unless it was kicked.
              if (kicked) {
                queue.disableKicks();
                while (queue.take()) {
                  assert.equal(queue.pieces[1], BUFFERS + (taken % 1000));
                  taken++;
                  held.push(queue.head);
                }
                const again = Math.min(back, held.length);
                if (again > 0) {
                  // Heads are numbers: what was put back is taken once more.
                  queue.untake(again);
                  held.length -= again;
                  taken -= again;
                }
                kicked = again > 0 || queue.enableKicks();
              }
              for (const head of held.splice(0, uses)) queue.use(head, head + 1);
              if (queue.publish()) called = true;
              if (!called) continue;
              for (let id = driver.take(); id >= 0; id = driver.take()) assert.equal(driver.takenBytes, id + 1);
              called = driver.enableInterrupts();
            }
          }
          assert.deepEqual([queue.broken, driver.broken], ['', false]);
          assert.ok(kicked || taken === offered, 'no kick was missed');
        }),
        { numRuns: 20 },
      );
    });
  }

  it('survives whatever a driver writes, whenever', () => {
    const write = fc.tuple(
      fc.oneof(
        fc.nat(LAYOUT.bytes - 2),
        fc.constant(LAYOUT.available + 2),
        fc.integer({ min: BUFFERS, max: BUFFERS + 256 }),
      ),
      fc.oneof(fc.nat(0xffff), fc.nat(8), fc.constant(BUFFERS)),
    );
    const operation = fc.constantFrom('take', 'use', 'publish', 'untake', 'enable', 'disable', 'new', 'remap');
    fc.assert(
      fc.property(fc.array(fc.tuple(write, operation), { maxLength: 200 }), fc.boolean(), (steps, eventIndex) => {
        const each = rig(eventIndex);
        let { queue } = each;
        let out = 0;
        for (const [[at, value], what] of steps) {
          each.view.setUint16(at & ~1, value, true);
          if (what === 'take' && queue.take()) {
            out++;
            for (const [at_, bytes] of piecesOf(queue)) assert.ok(at_! >= 0 && bytes! > 0 && at_! + bytes! <= BYTES);
          } else if (what === 'untake' && out > 0) {
            queue.untake(1);
            out--;
          } else if (what === 'use' && out > 0) {
            queue.use(queue.head, 1);
            out--;
          } else if (what === 'publish') queue.publish();
          else if (what === 'enable') queue.enableKicks(queue.waiting);
          else if (what === 'disable') queue.disableKicks();
          else if (what === 'remap') queue.locate();
          else if (what === 'new' && queue.broken !== '') {
            const base = each.view.getUint16(LAYOUT.available + 2, true);
            queue = new DeviceQueue(each.memory, { ring: RING, base, eventIndex, indirect: true });
            out = 0;
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});
