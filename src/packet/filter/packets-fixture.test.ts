/** Frames to try filters on: a few values in every field, so that filters which name them hit, cut short and damaged here and there. From one seed. */
import { Random } from '../../base/random.ts';

const MACS = ['020000000001', '020000000002', 'ffffffffffff', '01005e000001', '333300000001'];
const IP4 = ['0a000001', '0a000002', '0a010203', 'c0a80117', 'e0000001', 'ffffffff', '00000000'];
const IP6 = [
  'fd00000a000000000000000000000001',
  'fd00000a000000000000000000000002',
  'fd00000b000100000000000000000001',
  'ff020000000000000000000000000001',
  '00000000000000000000ffff0a000001',
];
const PORTS = [20, 22, 53, 80, 443, 8080, 123, 40_000, 65_535];

export function framesOf(seed: number, count: number): Uint8Array[] {
  const make = new Maker(new Random(seed));
  return Array.from({ length: count }, () => Uint8Array.from(make.frame()));
}

class Maker {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  frame(): number[] {
    const bytes = [...this.#of(MACS), ...this.#of(MACS), ...this.#tags(), ...this.#network()];
    if (this.#chance(5)) bytes.length = this.#below(bytes.length + 1);
    if (this.#chance(6) && bytes.length > 0) {
      for (let i = 0; i < 3; i++) bytes[this.#below(bytes.length)] = this.#below(256);
    }
    return bytes;
  }

  #tags(): number[] {
    if (!this.#chance(5)) return [];
    const tag = [
      ...this.#pick([
        [0x81, 0],
        [0x81, 0],
        [0x88, 0xa8],
        [0x91, 0],
      ]),
      this.#below(256),
      this.#pick([0, 7, 100]),
    ];
    return this.#chance(3) ? [...tag, 0x81, 0, 0, this.#pick([7, 100])] : tag;
  }

  #network(): number[] {
    switch (this.#below(12)) {
      case 0:
        return [8, 6, ...this.#arp()];
      case 1:
        return [0x80, 0x35, ...this.#arp()];
      case 2:
        return [
          0,
          this.#pick([38, 60]),
          ...this.#pick([
            [0x42, 0x42],
            [0xf0, 0xf0],
            [0xfe, 0xfe],
            [0xaa, 0xaa],
          ]),
          3,
          ...this.#bytes(50),
        ];
      case 3:
        return [this.#below(256), this.#below(256), ...this.#bytes(60)];
      case 4:
      case 5:
      case 6:
      case 7:
        return [0x86, 0xdd, ...this.#ip6()];
      default:
        return [8, 0, ...this.#ip4()];
    }
  }

  #arp(): number[] {
    return [
      0,
      1,
      8,
      0,
      6,
      4,
      0,
      this.#pick([1, 2]),
      ...this.#of(MACS),
      ...this.#of(IP4),
      ...this.#of(MACS),
      ...this.#of(IP4),
    ];
  }

  #ip4(): number[] {
    const [protocol, payload] = this.#transport(1, 2);
    const options = this.#bytes(this.#chance(4) ? 4 * this.#below(10) : 0);
    const fragment = this.#chance(6) ? [this.#pick([0x20, 0]), this.#pick([0, 5])] : [0x40, 0];
    const length = 20 + options.length + payload.length;
    const head = [
      0x45 + options.length / 4,
      0,
      length >> 8,
      length & 255,
      0,
      1,
      ...fragment,
      this.#pick([1, 64]),
      protocol,
      0,
      0,
    ];
    return [...head, ...this.#of(IP4), ...this.#of(IP4), ...options, ...payload];
  }

  #ip6(): number[] {
    const [protocol, payload] = this.#transport(58, 0);
    const isFragment = this.#chance(6);
    const extension = isFragment ? [protocol, 0, 0, this.#pick([0, 8]), ...this.#bytes(4)] : [];
    const length = extension.length + payload.length;
    const head = [0x60, 0, 0, 0, length >> 8, length & 255, isFragment ? 44 : protocol, 64];
    return [...head, ...this.#of(IP6), ...this.#of(IP6), ...extension, ...payload];
  }

  #transport(icmp: number, other: number): [protocol: number, bytes: number[]] {
    const data = this.#bytes(this.#below(40));
    const ports = [...half(this.#pick(PORTS)), ...half(this.#pick(PORTS))];
    switch (this.#below(9)) {
      case 0:
        return [icmp, [this.#pick([0, 3, 8, 11, 128, 129, 135]), this.#below(4), ...this.#bytes(6), ...data]];
      case 1:
        return [132, [...ports, ...this.#bytes(8), ...data]];
      case 2:
        return [this.#pick([other, 47, 50, 51, 103, 112]), [...this.#bytes(8), ...data]];
      case 3:
      case 4:
        return [17, [...ports, ...half(8 + data.length), 0, 0, ...data]];
      default:
        return [
          6,
          [...ports, ...this.#bytes(8), 0x50, this.#pick([2, 0x12, 0x10, 0x11, 4, 0x18]), ...this.#bytes(6), ...data],
        ];
    }
  }

  #of(list: readonly string[]): number[] {
    const text = this.#pick(list);
    return Array.from({ length: text.length / 2 }, (_, i) => Number.parseInt(text.slice(2 * i, 2 * i + 2), 16));
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#below(list.length)];
  }

  #bytes(count: number): number[] {
    return Array.from({ length: count }, () => this.#below(256));
  }

  /** One of `n`. */
  #chance(n: number): boolean {
    return this.#below(n) === 0;
  }

  #below(n: number): number {
    return this.#random.below(n);
  }
}

function half(value: number): number[] {
  return [value >> 8, value & 255];
}
