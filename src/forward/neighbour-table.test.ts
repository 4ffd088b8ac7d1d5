import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { ipv4Address, MacAddress } from '../base/address.ts';
import {
  DELAY_MS,
  FAILED_MS,
  isStation,
  NEIGHBOUR_STATE_NAMES,
  type NeighbourEvents,
  type NeighbourStateName,
  NeighbourTable,
  NO_NEIGHBOUR,
  REACHABLE_MS,
  STALE_MS,
} from './neighbour-table.ts';

const MAPPED = 0xffff;
const MAC = 0x0200;

/** A table with a clock, which writes down what it is told: the last word of the neighbour's address, and what. */
class World implements NeighbourEvents {
  readonly log: string[] = [];
  readonly table: NeighbourTable;
  nowMs: number = 1000;
  hasRoom: boolean = true;

  constructor(perInterfaceMax?: number, max?: number) {
    this.table = new NeighbourTable(this, perInterfaceMax, max);
  }

  solicit(neighbour: number): boolean {
    this.#note(neighbour, this.state(neighbour) === 'PROBE' ? 'ask directly' : 'ask');
    return this.hasRoom;
  }
  usable(neighbour: number): void {
    this.#note(neighbour, `usable ${this.table.macLow[neighbour]}`);
  }
  unusable(neighbour: number): void {
    this.#note(neighbour, 'unusable');
  }
  failed(neighbour: number): void {
    this.#note(neighbour, 'failed');
  }
  removed(neighbour: number): void {
    this.#note(neighbour, 'removed');
  }

  find(host: number, on: number = 0): number {
    return this.table.find(on, 0, 0, MAPPED, host);
  }
  use(host: number, on: number = 0): number {
    return this.table.use(on, 0, 0, MAPPED, host, this.nowMs);
  }
  heard(host: number, macLow: number, on: number = 0): void {
    this.table.heard(on, 0, 0, MAPPED, host, MAC, macLow, this.nowMs);
  }
  advertised(host: number, macLow: number, solicited: boolean, override: boolean = true): void {
    this.table.advertised(this.find(host), MAC, macLow, solicited, override, this.nowMs);
  }
  setStatic(host: number, macLow: number, on: number = 0): boolean {
    return this.table.setStatic(on, ipv4Address(host), new MacAddress(MAC, macLow), this.nowMs);
  }
  /** Lets time pass in seconds, as the engine does. */
  wait(ms: number): void {
    for (let waited = 0; waited < ms; waited += 1000) {
      this.nowMs += 1000;
      this.table.tick(this.nowMs);
    }
  }
  state(neighbour: number): NeighbourStateName {
    const name = NEIGHBOUR_STATE_NAMES[this.table.state[neighbour]];
    assert.ok(name);
    return name;
  }
  stateOf(host: number, on: number = 0): NeighbourStateName | 'unknown' {
    const neighbour = this.find(host, on);
    return neighbour === NO_NEIGHBOUR ? 'unknown' : this.state(neighbour);
  }
  /** What was told since the last time. */
  told(): string[] {
    return this.log.splice(0);
  }
  #note(neighbour: number, what: string): void {
    this.log.push(`${this.table.word(neighbour, 3)} ${what}`);
  }
}

describe('the neighbour table', () => {
  let world: World;
  beforeEach(() => {
    world = new World();
  });

  it('asks at once, and once a second, three times; then refuses for a while, and forgets', () => {
    world.use(5);
    world.use(5);
    assert.deepEqual(world.told(), ['5 ask']);
    world.wait(2000);
    world.use(5);
    assert.deepEqual(world.told(), ['5 ask', '5 ask']);
    assert.equal(world.stateOf(5), 'INCOMPLETE');
    world.wait(1000);
    world.use(5);
    assert.deepEqual(world.told(), ['5 failed']);
    assert.equal(world.stateOf(5), 'FAILED');
    world.wait(FAILED_MS);
    assert.deepEqual(world.told(), ['5 removed']);
    world.use(5);
    assert.deepEqual(world.told(), ['5 ask']);
  });

  it('does not count a question that could not be sent', () => {
    world.hasRoom = false;
    world.use(5);
    world.wait(5000);
    assert.equal(world.told().length, 6);
    world.hasRoom = true;
    world.wait(4000);
    assert.deepEqual(world.told(), ['5 ask', '5 ask', '5 ask', '5 failed']);
  });

  it('goes from an answer through use and probes back to certainty', () => {
    world.use(5);
    world.advertised(5, 77, true);
    assert.deepEqual(world.told(), ['5 ask', '5 usable 77']);
    world.wait(REACHABLE_MS);
    assert.deepEqual(world.told(), ['5 unusable']);
    assert.equal(world.stateOf(5), 'STALE');
    world.use(5);
    assert.equal(world.stateOf(5), 'DELAY');
    assert.deepEqual(world.told(), ['5 usable 77']);
    world.wait(DELAY_MS);
    assert.equal(world.stateOf(5), 'PROBE');
    assert.deepEqual(world.told(), ['5 usable 77', '5 ask directly']);
    world.wait(1000);
    world.advertised(5, 77, true);
    assert.equal(world.stateOf(5), 'REACHABLE');
  });

  it('gives up a neighbour in use that does not answer probes, and forgets one that nobody uses', () => {
    world.use(5);
    world.advertised(5, 77, true);
    world.wait(REACHABLE_MS);
    world.use(5);
    world.told();
    world.wait(DELAY_MS + 3000);
    assert.deepEqual(world.told().slice(-2), ['5 unusable', '5 failed']);
    assert.deepEqual(world.table.list(world.nowMs)[0]?.mac, undefined);
    world.wait(FAILED_MS);
    world.heard(6, 66);
    world.wait(STALE_MS - 1000);
    assert.equal(world.stateOf(6), 'STALE');
    world.wait(1000);
    assert.equal(world.table.count, 0);
  });

  it('takes the word of a neighbour that is being asked for, and checks it while it is used', () => {
    world.use(5);
    world.heard(5, 77);
    assert.equal(world.stateOf(5), 'DELAY');
    assert.deepEqual(world.told(), ['5 ask', '5 usable 77']);
  });

  it('does with advertisements what RFC 4861, section 7.2.5 says', () => {
    const cases: [solicited: boolean, override: boolean, macLow: number, state: string, known: number][] = [
      [true, true, 77, 'REACHABLE', 77],
      [true, true, 88, 'REACHABLE', 88],
      [true, false, 88, 'STALE', 77],
      [true, false, 77, 'REACHABLE', 77],
      [false, true, 88, 'STALE', 88],
      [false, true, 77, 'REACHABLE', 77],
      [false, false, 88, 'STALE', 77],
      [false, false, 77, 'REACHABLE', 77],
    ];
    for (const [solicited, override, macLow, state, known] of cases) {
      world = new World();
      world.use(5);
      world.advertised(5, 77, true);
      world.advertised(5, macLow, solicited, override);
      assert.deepEqual([world.stateOf(5), world.table.macLow[world.find(5)]], [state, known]);
    }
    // One that is not sure of itself does not disturb what is in doubt already.
    world.wait(REACHABLE_MS);
    world.advertised(5, 99, true, false);
    assert.deepEqual([world.stateOf(5), world.table.macLow[world.find(5)]], ['STALE', 77]);
    world.table.confirmed(world.find(5), world.nowMs);
    assert.equal(world.stateOf(5), 'REACHABLE');
  });

  it('confirms no neighbour whose MAC address was never said', () => {
    world.use(5);
    world.table.confirmed(world.find(5), world.nowMs);
    assert.equal(world.stateOf(5), 'INCOMPLETE');
  });

  it('learns no MAC address that no station can have', () => {
    for (const [high, low] of [
      [0, 0],
      [0x0100, 1],
      [0x3333, 1],
      [0xffff, -1],
    ] as const) {
      assert.equal(isStation(high, low), false);
      world.table.heard(0, 0, 0, MAPPED, 5, high, low, world.nowMs);
      assert.equal(world.table.setStatic(0, ipv4Address(5), new MacAddress(high, low), 0), false);
      assert.equal(world.table.count, 0);
    }
    world.use(5);
    world.table.advertised(world.find(5), 0x0100, 1, true, true, world.nowMs);
    assert.equal(world.stateOf(5), 'INCOMPLETE');
  });

  it('keeps configured neighbours, whatever is said or not said', () => {
    world.use(5);
    assert.equal(world.setStatic(5, 55), true);
    assert.deepEqual(world.told(), ['5 ask', '5 usable 55']);
    world.heard(5, 66);
    world.advertised(5, 66, true);
    world.wait(STALE_MS);
    assert.deepEqual([world.stateOf(5), world.table.macLow[world.find(5)]], ['STATIC', 55]);
    assert.equal(world.table.flush(0), 0);
    assert.equal(world.table.remove(0, ipv4Address(5)), true);
    assert.equal(world.table.remove(0, ipv4Address(5)), false);
    assert.deepEqual(world.told(), ['5 unusable', '5 removed']);
  });

  it('lists and flushes by interface', () => {
    world.use(1, 0);
    world.heard(2, 22, 40);
    world.setStatic(3, 33, 40);
    world.nowMs += 500;
    const list = world.table.list(world.nowMs).map(({ interfaceIndex, address, mac, state, ageMs }) => {
      return `${interfaceIndex} ${address} ${mac ?? '-'} ${state} ${ageMs}`;
    });
    assert.deepEqual(list, [
      '0 0.0.0.1 - INCOMPLETE 500',
      '40 0.0.0.2 02:00:00:00:00:16 STALE 500',
      '40 0.0.0.3 02:00:00:00:00:21 STATIC 500',
    ]);
    assert.equal(world.table.list(world.nowMs, 40).length, 2);
    assert.equal(world.table.list(world.nowMs, 4000).length, 0);
    assert.equal(world.table.flush(40), 1);
    assert.equal(world.table.flush(40, true), 1);
    assert.equal(world.table.flush(4000, true), 0);
    assert.equal(world.table.count, 1);
  });
});

describe('a full neighbour table', () => {
  it('lets no flood of solicitations displace what is in use, configured or asked for', () => {
    const world = new World(8);
    world.setStatic(1, 11);
    world.use(2);
    world.advertised(2, 22, true);
    world.use(3);
    for (let host = 100; host < 200; host++) world.heard(host, host);
    assert.deepEqual(
      [1, 2, 3].map((host) => world.stateOf(host)),
      ['STATIC', 'REACHABLE', 'INCOMPLETE'],
    );
    assert.equal(world.table.count, 8);
    assert.equal(world.table.evicted, 95);
    assert.deepEqual([world.stateOf(195), world.stateOf(194)], ['STALE', 'unknown']);
    // With all in use there is no room for hearsay.
    for (let host = 10; host < 16; host++) {
      world.use(host);
      world.advertised(host, host, true);
    }
    assert.equal(world.stateOf(2), 'REACHABLE');
    world.heard(100, 1);
    assert.equal(world.stateOf(100), 'unknown');
    assert.equal(world.table.refused, 1);
  });

  it('lets a scan displace its own questions first, and need displace the rest in order', () => {
    const world = new World(4);
    world.heard(1, 11);
    world.use(2);
    world.advertised(2, 22, true);
    for (let host = 100; host < 200; host++) world.use(host);
    assert.deepEqual(
      [1, 2, 198, 199].map((host) => world.stateOf(host)),
      ['STALE', 'REACHABLE', 'INCOMPLETE', 'INCOMPLETE'],
    );
    world.setStatic(198, 98);
    world.setStatic(199, 99);
    world.setStatic(50, 50);
    assert.deepEqual(
      [1, 2].map((host) => world.stateOf(host)),
      ['unknown', 'REACHABLE'],
    );
    world.setStatic(51, 51);
    assert.equal(world.stateOf(2), 'unknown');
    assert.equal(world.use(3), NO_NEIGHBOUR);
    assert.equal(world.setStatic(52, 52), false);
  });

  it('takes room from the interface that has more than its share', () => {
    const world = new World(100, 30);
    for (let host = 0; host < 28; host++) world.heard(host, host + 1, 0);
    for (let host = 0; host < 15; host++) world.heard(host, host + 1, 1);
    assert.deepEqual(
      [0, 1].map((on) => world.table.countOn(on)),
      [15, 15],
    );
    for (let host = 100; host < 200; host++) world.heard(host, host + 1, 0);
    assert.deepEqual(
      [0, 1].map((on) => world.table.countOn(on)),
      [15, 15],
    );
    world.heard(1, 1, 2);
    assert.equal(world.stateOf(1, 2), 'STALE');
  });

  it('is consistent whatever happens: bounds, events, lists', () => {
    const step = fc.record({
      what: fc.constantFrom('use', 'use', 'heard', 'advertised', 'static', 'remove', 'flush', 'tick', 'room'),
      host: fc.integer({ min: 0, max: 12 }),
      on: fc.integer({ min: 0, max: 2 }),
      macLow: fc.integer({ min: 1, max: 3 }),
      flag: fc.boolean(),
      ms: fc.constantFrom(100, 1000, 5000, 30_000, STALE_MS),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const world = new World(6, 12);
        /** What a listener believes, by interface and host: the MAC address that it sends to. */
        const believed = new Map<string, number>();
        const key = (neighbour: number): string =>
          `${world.table.interfaceIndex(neighbour)} ${world.table.word(neighbour, 3)}`;
        world.usable = (neighbour) => void believed.set(key(neighbour), world.table.macLow[neighbour]);
        world.unusable = (neighbour) => assert.ok(believed.delete(key(neighbour)), 'unusable after usable');
        world.removed = (neighbour) => assert.ok(!believed.has(key(neighbour)), 'unusable before removed');
        for (const { what, host, on, macLow, flag, ms } of steps) {
          const statics = world.table.list(world.nowMs).filter(({ state }) => state === 'STATIC').length;
          const known = world.find(host, on);
          if (what === 'use') world.use(host, on);
          else if (what === 'heard') world.heard(host, macLow, on);
          else if (what === 'advertised' && known !== NO_NEIGHBOUR) {
            world.table.advertised(known, MAC, macLow, flag, macLow === 1, world.nowMs);
          } else if (what === 'static') world.setStatic(host, macLow, on);
          else if (what === 'remove') world.table.remove(on, ipv4Address(host));
          else if (what === 'flush') world.table.flush(on, flag);
          else if (what === 'room') world.hasRoom = flag;
          else if (what === 'tick') {
            world.nowMs += ms;
            world.table.tick(world.nowMs);
          }
          const list = world.table.list(world.nowMs);
          assert.equal(list.length, world.table.count);
          assert.ok(list.length <= 12 && [0, 1, 2].every((each) => world.table.countOn(each) <= 6));
          const usable = list.filter(({ state }) => ['REACHABLE', 'DELAY', 'PROBE', 'STATIC'].includes(state));
          const expected = usable.map((each) => [`${each.interfaceIndex} ${each.address.w3}`, each.mac?.low] as const);
          assert.deepEqual(new Map(expected), believed);
          if (what !== 'remove' && what !== 'flush') {
            assert.ok(list.filter(({ state }) => state === 'STATIC').length >= statics, 'what is configured stays');
          }
        }
      }),
      { numRuns: 200 },
    );
  });
});
