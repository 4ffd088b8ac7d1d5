/** A running network's tables with many interfaces and routes, on a system that does nothing. */
import { IpAddress, ipv4Address, MacAddress } from '#tapster/base/address.js';
import { ADJACENCY } from '#tapster/forward/adjacency.js';
import type { Link } from '#tapster/link/link.js';
import { DataPlane } from '#tapster/network/data-plane.js';
import { NullSys } from './null-sys.ts';

const MTU = 1500;
const OUR_MAC_HIGH = 0x02fe;
/** fd00::/16, where the interfaces are, and 2000::/16, where routes lead. */
const NEAR6: number = 0xfd00_0000 | 0;
const FAR6 = 0x2000_0000;
/** Networks as they are on the Internet: more than half are /24, the rest larger; and a few single hosts. */
const LENGTHS4: readonly number[] = [24, 24, 24, 24, 24, 24, 23, 22, 22, 21, 20, 20, 19, 18, 16, 32];
const LENGTHS6: readonly number[] = [48, 48, 48, 48, 48, 48, 48, 32, 32, 40, 44, 44, 56, 64, 36, 128];

/** Who is behind an interface: the second address of its network. Its own is the first. */
export const GUEST_HOST = 2;

export class LargeNetwork {
  readonly sys: NullSys = new NullSys();
  readonly plane: DataPlane;
  /** One destination of each route, in no order: of IPv4 one word, of IPv6 four. */
  readonly destinations4: Int32Array;
  readonly destinations6: Int32Array;
  readonly #draw: () => number = generator();

  constructor(interfaces: number, routes: number) {
    this.plane = new DataPlane(this.sys, {
      nodes: [],
      onConflict: () => {},
      onCaptureEnded: () => {},
      flowSink: { opened: () => {}, closed: () => {} },
    });
    for (let i = 0; i < interfaces; i++) this.#addInterface();
    this.destinations4 = Int32Array.from({ length: routes }, (_, i) => this.#addRoute4(i % interfaces));
    this.destinations6 = new Int32Array(routes * 4);
    for (let i = 0; i < routes; i++) this.destinations6.set(this.#addRoute6(i % interfaces), i * 4);
  }

  /** Gives an interface a link that is polled; the rest have addresses and neighbours, and no link. Returns the poll set's token for it. */
  connect(index: number, link: Link): number {
    const { engine } = this.plane;
    engine.addInterface(index, link);
    engine.addQueue(index, link, index);
    return this.sys.lastToken;
  }

  /** Up, with a network of each family, and a neighbour there whose MAC address is known. */
  #addInterface(): void {
    const { forwarding } = this.plane;
    const { interfaces } = forwarding;
    const added = forwarding.addInterface(new MacAddress(OUR_MAC_HIGH, interfaces.end), MTU);
    if (!added.ok) throw new Error(added.failure.message);
    const index = added.value;
    const [near4, near6] = [ipv4Address(host4(index, 1)), host6(index, 1)];
    const addresses = [
      { address: near4, length: 24 },
      { address: near6, length: 64 },
    ];
    for (const prefix of addresses) {
      const given = forwarding.addAddress(index, prefix);
      if (!given.ok) throw new Error(given.failure.message);
    }
    for (const { w0, w1, w2, w3 } of [ipv4Address(host4(index, GUEST_HOST)), host6(index, GUEST_HOST)]) {
      const adjacency = forwarding.adjacencies.acquire(ADJACENCY.NEIGHBOUR, index, w0, w1, w2, w3);
      forwarding.adjacencies.setComplete(adjacency, 0x0200, index);
    }
    forwarding.setUp(index, true);
  }

  /** A route to some network that there is none to, by the neighbour of an interface. Returns an address in that network. */
  #addRoute4(index: number): number {
    for (;;) {
      const length = LENGTHS4[this.#draw() % LENGTHS4.length]!;
      const destination = ((11 + (this.#draw() % 100)) << 24) | (this.#draw() & 0xff_ffff);
      const network = destination & (-1 << (32 - length));
      const hop = ipv4Address(host4(index, GUEST_HOST));
      if (this.#add(ipv4Address(network), length, index, hop)) return destination;
    }
  }

  #addRoute6(index: number): readonly number[] {
    for (;;) {
      const length = LENGTHS6[this.#draw() % LENGTHS6.length]!;
      const words = [FAR6 | (this.#draw() & 0xff_ffff), this.#draw(), this.#draw(), this.#draw()].map(
        (word) => word | 0,
      );
      const [w0 = 0, w1 = 0, w2 = 0, w3 = 0] = words.map((word, at) => word & mask(length - at * 32));
      if (this.#add(new IpAddress(w0, w1, w2, w3), length, index, host6(index, GUEST_HOST))) return words;
    }
  }

  #add(address: IpAddress, length: number, interfaceIndex: number, hop: IpAddress): boolean {
    const hops = [{ kind: 'address', address: hop, interfaceIndex, weight: 1 }] as const;
    return this.plane.forwarding.addRoute({ address, length }, hops).ok;
  }
}

/** 10.X.Y.0/24 for interface X * 256 + Y. */
export function host4(index: number, host: number): number {
  return 0x0a00_0000 | (index << 8) | host;
}

function host6(index: number, host: number): IpAddress {
  return new IpAddress(NEAR6, index, 0, host);
}

function mask(bits: number): number {
  return bits <= 0 ? 0 : bits >= 32 ? -1 : -1 << (32 - bits);
}

/** The same numbers in each run (a linear congruential generator's upper bits). */
function generator(): () => number {
  let state = 1;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    const high = state >>> 16;
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return (high << 15) | (state >>> 17);
  };
}
