import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { DriverQueue, queueLayout } from './driver-queue.ts';

const AT = 32;

/** A device that does what the specification says, one step at a time, written down the plain way. */
class Device {
  readonly memory: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  readonly #size: number;
  readonly #eventIndex: boolean;
  #seen = 0;
  #used = 0;

  constructor(size: number, eventIndex: boolean) {
    const { bytes } = queueLayout(size);
    this.memory = new Uint8Array(AT + bytes);
    this.#view = new DataView(this.memory.buffer, AT, bytes);
    this.#size = size;
    this.#eventIndex = eventIndex;
  }

  /** The next buffer that the driver has shown. */
  next(): { id: number; address: bigint; length: number; flags: number } | undefined {
    const { available } = queueLayout(this.#size);
    if (this.#view.getUint16(available + 2, true) === this.#seen) return undefined;
    const id = this.#view.getUint16(available + 4 + (this.#seen % this.#size) * 2, true);
    this.#seen = (this.#seen + 1) & 0xffff;
    const view = this.#view;
    return {
      id,
      address: view.getBigUint64(id * 16, true),
      length: view.getUint32(id * 16 + 8, true),
      flags: view.getUint16(id * 16 + 12, true),
    };
  }

  /** Gives a buffer back. Returns whether the driver wants an interrupt. */
  use(id: number, length: number): boolean {
    const { available, used } = queueLayout(this.#size);
    const entry = used + 4 + (this.#used % this.#size) * 8;
    this.#view.setUint32(entry, id, true);
    this.#view.setUint32(entry + 4, length, true);
    const before = this.#used;
    this.#used = (this.#used + 1) & 0xffff;
    this.#view.setUint16(used + 2, this.#used, true);
    if (!this.#eventIndex) return (this.#view.getUint16(available, true) & 1) === 0;
    return this.#view.getUint16(available + 4 + this.#size * 2, true) === before;
  }

  /** Asks to be kicked with the next buffer, or not at all. */
  wantKicks(wanted: boolean): void {
    const { used } = queueLayout(this.#size);
    if (!this.#eventIndex) this.#view.setUint16(used, wanted ? 0 : 1, true);
    else this.#view.setUint16(used + 4 + this.#size * 8, wanted ? this.#seen : (this.#seen - 1) & 0xffff, true);
  }
}

function pair(size: number, eventIndex: boolean): { device: Device; driver: DriverQueue } {
  const device = new Device(size, eventIndex);
  return { device, driver: new DriverQueue(device.memory, AT, size, eventIndex) };
}

describe("a driver's queue", () => {
  it('shows a buffer as the specification lays it out', () => {
    const { device, driver } = pair(4, false);
    const id = driver.offer(0x7fff_1234_5678, 1526, true);
    assert.equal(device.next(), undefined, 'not before it is published');
    assert.equal(driver.publish(), true);
    assert.deepEqual(device.next(), { id, address: 0x7fff_1234_5678n, length: 1526, flags: 2 });
    assert.equal(driver.take(), -1);
    device.use(id, 99);
    assert.deepEqual([driver.take(), driver.takenBytes, driver.room], [id, 99, 4]);
    assert.equal(driver.publish(), false, 'nothing new');
  });

  it('offers as many as it has entries', () => {
    const { driver } = pair(2, true);
    assert.notEqual(driver.offer(0, 1, false), driver.offer(1, 1, false));
    assert.deepEqual([driver.offer(2, 1, false), driver.room, driver.outstanding], [-1, 0, 2]);
  });

  for (const eventIndex of [false, true]) {
    it(`gives every buffer back once, whatever the order and for longer than the indexes count, ${eventIndex ? 'with' : 'without'} EVENT_IDX`, () => {
      const steps = fc.array(fc.tuple(fc.nat(8), fc.nat(8), fc.boolean()), { minLength: 20, maxLength: 60 });
      fc.assert(
        fc.property(steps, (turns) => {
          const { device, driver } = pair(8, eventIndex);
          const out = new Map<number, number>();
          const held: number[] = [];
          let address = 0;
          for (let lap = 0; lap < 40; lap++) {
            for (const [offers, uses, reversed] of turns) {
              for (let i = 0; i < offers; i++) {
                const id = driver.offer(address, address % 1500, false);
                if (id >= 0) out.set(id, address++);
              }
              driver.publish();
              for (let next = device.next(); next !== undefined; next = device.next()) {
                assert.equal(Number(next.address), out.get(next.id));
                held.push(next.id);
              }
              if (reversed) held.reverse();
              for (const id of held.splice(0, uses)) device.use(id, id + 7);
              for (let id = driver.take(); id >= 0; id = driver.take()) {
                assert.equal(driver.takenBytes, id + 7);
                assert.ok(out.delete(id));
              }
              assert.equal(driver.outstanding, out.size);
            }
          }
          assert.equal(driver.broken, false);
        }),
        { numRuns: 30 },
      );
    });

    it(`kicks and is interrupted as asked, ${eventIndex ? 'with' : 'without'} EVENT_IDX`, () => {
      const { device, driver } = pair(8, eventIndex);
      device.wantKicks(false);
      const first = driver.offer(0, 1, true);
      assert.equal(driver.publish(), false);
      device.next();
      device.wantKicks(true);
      const second = driver.offer(1, 1, true);
      assert.equal(driver.publish(), true);
      device.next();
      driver.disableInterrupts();
      assert.equal(device.use(first, 1), false);
      assert.equal(driver.enableInterrupts(), true, 'one is there that nobody tells of');
      assert.equal(driver.take(), first);
      assert.equal(driver.enableInterrupts(), false);
      assert.equal(device.use(second, 1), true);
      assert.equal(driver.take(), second);
    });
  }

  it('believes no device that gives back what it does not have', () => {
    for (const wrong of [9, 1, 0xffff_ffff]) {
      const { device, driver } = pair(8, false);
      driver.offer(0, 1, true);
      driver.publish();
      device.use(wrong, 1);
      assert.deepEqual([driver.take(), driver.broken], [-1, true]);
    }
  });

  it('refuses sizes and places that can not be', () => {
    const memory = new Uint8Array(queueLayout(8).bytes);
    assert.throws(() => new DriverQueue(memory, 0, 3, false), RangeError);
    assert.throws(() => new DriverQueue(memory, 8, 8, false), RangeError);
    assert.throws(() => new DriverQueue(memory, 16, 8, false), RangeError);
  });
});
