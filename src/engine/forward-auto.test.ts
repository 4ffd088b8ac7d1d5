import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PortSet } from '../base/port-set.ts';
import { failure, type Result, success } from '../base/result.ts';
import type { BoundPorts } from '../sys/bound-ports.ts';
import { type BoundSides, type FollowedForward, ForwardAuto } from './forward-auto.ts';
import type { Forward } from './forward-places.ts';
import type { Forwards } from './forwards.ts';

type Table = Pick<Forwards, 'add' | 'remove' | 'ports'>;

/** What is forwarded, as text: `in tcp 80`. */
class FakeForwards implements Table {
  readonly open: Map<number, string> = new Map();
  readonly named: Set<string> = new Set();
  /** Ports that somebody else has. */
  readonly taken: Set<number> = new Set();
  tries: number = 0;
  #lastId: number = 0;

  add({ direction, protocol, rule }: Forward): ReturnType<Forwards['add']> {
    this.tries++;
    const id = ++this.#lastId;
    const ports = this.taken.has(rule.firstPort) ? 0 : 1;
    this.open.set(id, ports === 0 ? '' : `${direction} ${protocol} ${rule.firstPort}`);
    return success({ id, direction, protocol, rule, ports, auto: true });
  }

  remove(id: number): boolean {
    return this.open.delete(id);
  }

  ports(direction: string, protocol: string, which: 'all' | 'named'): PortSet {
    const texts = [...this.named, ...(which === 'all' ? this.open.values() : [])];
    const found = texts.filter((text) => text.startsWith(`${direction} ${protocol} `));
    return setOf(...found.map((text) => Number(text.split(' ')[2])));
  }

  get texts(): string[] {
    return [...this.open.values()].sort();
  }
}

class Side implements Pick<BoundPorts, 'read'> {
  tcp: number[] = [];
  udp: number[] = [];
  silent: boolean = false;

  read(protocol: 'tcp' | 'udp'): Result<PortSet> {
    return this.silent ? failure('socket-diagnosis', 'the kernel does not tell') : success(setOf(...this[protocol]));
  }
}

function setOf(...ports: number[]): PortSet {
  const set = new PortSet();
  for (const port of ports) set.add({ first: port, last: port });
  return set;
}

class Following {
  readonly host: Side = new Side();
  readonly namespace: Side = new Side();
  readonly forwards: FakeForwards = new FakeForwards();
  nowUs: number = 0;
  /** How long each look at the clock says that has passed. */
  stepUs: number = 0;
  readonly auto: ForwardAuto;

  constructor(followed: readonly FollowedForward[]) {
    const bound: BoundSides = { host: this.host, namespace: this.namespace };
    const clock = (): number => {
      this.nowUs += this.stepUs;
      return this.nowUs;
    };
    this.auto = new ForwardAuto(this.forwards as unknown as Forwards, bound, followed, clock);
  }

  scan(): string[] {
    this.nowUs += 1_000_000;
    this.auto.scan();
    return this.forwards.texts;
  }
}

const AUTO = { address: undefined, interfaceName: undefined, excluded: [] };
const IN_TCP: FollowedForward = { direction: 'in', protocol: 'tcp', auto: AUTO };
const OUT_TCP: FollowedForward = { direction: 'out', protocol: 'tcp', auto: AUTO };

describe('forwards that follow ports', () => {
  it('open what has come and close what has gone, and touch nothing else', () => {
    const following = new Following([IN_TCP]);
    following.namespace.tcp = [80, 443];
    assert.deepEqual(following.scan(), ['in tcp 443', 'in tcp 80']);
    following.namespace.tcp = [80, 8080];
    assert.deepEqual(following.scan(), ['in tcp 80', 'in tcp 8080']);
    assert.equal(following.forwards.tries, 3);
  });

  it('do not follow each other', () => {
    const following = new Following([IN_TCP, OUT_TCP]);
    following.namespace.tcp = [80];
    following.host.tcp = [22];
    following.scan();
    following.namespace.tcp = [80, 22];
    following.host.tcp = [22, 80];
    assert.deepEqual(following.scan(), ['in tcp 80', 'out tcp 22']);
  });

  it('leave out what is excluded, and what is forwarded by name', () => {
    const following = new Following([{ ...IN_TCP, auto: { ...AUTO, excluded: [{ first: 80, last: 90 }] } }]);
    following.forwards.named.add('in tcp 100');
    following.namespace.tcp = [79, 85, 100];
    assert.deepEqual(following.scan(), ['in tcp 79']);
  });

  it('follow ports of TCP with UDP too', () => {
    const following = new Following([{ direction: 'in', protocol: 'udp', auto: AUTO }]);
    following.namespace.tcp = [5201];
    following.namespace.udp = [53];
    assert.deepEqual(following.scan(), ['in udp 5201', 'in udp 53']);
  });

  it('try again what somebody else had', () => {
    const following = new Following([IN_TCP]);
    following.namespace.tcp = [80];
    following.forwards.taken.add(80);
    assert.deepEqual(following.scan(), []);
    following.forwards.taken.clear();
    assert.deepEqual(following.scan(), ['in tcp 80']);
  });

  it('stay as they are when the kernel does not tell', () => {
    const following = new Following([IN_TCP]);
    following.namespace.tcp = [80];
    following.scan();
    following.namespace.silent = true;
    assert.deepEqual(following.scan(), ['in tcp 80']);
  });

  it('rest behind a scan that took long', () => {
    const following = new Following([IN_TCP]);
    following.stepUs = 100_000;
    following.scan();
    following.namespace.tcp = [80];
    assert.deepEqual(following.scan(), []);
    following.nowUs += 5_000_000;
    assert.deepEqual(following.scan(), ['in tcp 80']);
  });
});
