/**
 * Forwards that follow the ports which are bound on the other side: once a second the kernel is asked which these are, and what has changed is opened or closed.
 *
 * | followed              | by forwards                   | less                                                          |
 * | --------------------- | ----------------------------- | ------------------------------------------------------------- |
 * | ports of the namespace | to the namespace, on the host | those that are ours there, or forwarded already, or excluded |
 * | ports of the host      | from the namespace            | the same                                                      |
 *
 * UDP follows ports of TCP too: programs that speak both open UDP for each session, and a second later is too late (iperf3). A port that can't be had is tried again with the
 * next scan. A scan that takes long, for who has ten thousands of ports, makes the next one wait, so that a fiftieth of the time is the most that is spent.
 */

import { AUTO_PORTS_PER_SCAN_MAX } from '../base/limits.ts';
import { PORT_MAX, type PortRange, PortSet } from '../base/port-set.ts';
import type { BoundPorts } from '../sys/bound-ports.ts';
import type { ForwardDirection, ForwardProtocol } from './forward-places.ts';
import type { AutoForward } from './forward-rules.ts';
import type { Forwards } from './forwards.ts';

/** A scan is followed by so many times its own duration without one. */
const REST_FACTOR = 50;
const ALL: PortRange = { first: 1, last: PORT_MAX };

export interface FollowedForward {
  readonly direction: ForwardDirection;
  readonly protocol: ForwardProtocol;
  readonly auto: AutoForward;
}

interface Followed extends FollowedForward {
  readonly excluded: PortSet;
  /** Numbers of forwards by their ports. */
  readonly open: Map<number, number>;
}

export interface BoundSides {
  readonly host: Pick<BoundPorts, 'read'>;
  readonly namespace: Pick<BoundPorts, 'read'>;
}

export class ForwardAuto {
  readonly #forwards: Forwards;
  readonly #bound: BoundSides;
  readonly #nowUs: () => number;
  readonly #followed: readonly Followed[];
  #restUntilUs: number = 0;

  constructor(forwards: Forwards, bound: BoundSides, followed: readonly FollowedForward[], nowUs: () => number) {
    this.#forwards = forwards;
    this.#bound = bound;
    this.#nowUs = nowUs;
    this.#followed = followed.map((each) => ({ ...each, excluded: setOf(each.auto.excluded), open: new Map() }));
  }

  scan(): void {
    const beganUs = this.#nowUs();
    if (beganUs < this.#restUntilUs) return;
    for (const followed of this.#followed) this.#follow(followed);
    const endedUs = this.#nowUs();
    this.#restUntilUs = endedUs + (endedUs - beganUs) * REST_FACTOR;
  }

  #follow(followed: Followed): void {
    const wanted = this.#wanted(followed);
    if (wanted === undefined) return;
    for (const [port, id] of followed.open) {
      if (wanted.has(port)) continue;
      this.#forwards.remove(id);
      followed.open.delete(port);
    }
    const named = this.#forwards.ports(followed.direction, followed.protocol, 'named');
    let left = AUTO_PORTS_PER_SCAN_MAX;
    for (const { first, last } of wanted.inside(ALL)) {
      for (let port = first; port <= last && left > 0; port++) {
        if (named.has(port) || followed.open.has(port)) continue;
        left--;
        this.#open(followed, port);
      }
    }
  }

  /** Undefined: the kernel did not say. */
  #wanted({ direction, protocol, excluded }: Followed): PortSet | undefined {
    const side = direction === 'in' ? this.#bound.namespace : this.#bound.host;
    const opposite = direction === 'in' ? 'out' : 'in';
    const without = new PortSet();
    without.addAll(excluded);
    const bound = new PortSet();
    for (const each of protocol === 'udp' ? (['tcp', 'udp'] as const) : (['tcp'] as const)) {
      const read = side.read(each);
      if (!read.ok) return undefined;
      // What is ours there would come back here, and go there again.
      const ours = this.#forwards.ports(opposite, each, 'all');
      for (const range of read.value.inside(ALL)) for (const free of ours.outside(range)) bound.add(free);
    }
    const wanted = new PortSet();
    for (const range of bound.inside(ALL)) for (const free of without.outside(range)) wanted.add(free);
    return wanted;
  }

  #open(followed: Followed, port: number): void {
    const { direction, protocol, auto } = followed;
    const { address, interfaceName } = auto;
    const ports = { firstPort: port, lastPort: port, toPort: port, toAddress: undefined };
    const rule = { address, interfaceName, ...ports, weak: true };
    const added = this.#forwards.add({ direction, protocol, rule }, true);
    if (!added.ok) return;
    if (added.value.ports > 0) followed.open.set(port, added.value.id);
    else this.#forwards.remove(added.value.id);
  }
}

function setOf(ranges: readonly PortRange[]): PortSet {
  const set = new PortSet();
  for (const range of ranges) set.add(range);
  return set;
}
