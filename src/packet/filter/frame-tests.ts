/** Tests of an Ethernet frame, some tags behind its addresses: what the primitives of the language and the bytes of headers are made of. */
import { all, any, type Test } from './assembler.ts';
import { PORT, TEST8, TEST16, TEST32 } from './program.ts';
import type { Direction, Family } from './syntax.ts';

export const ETHERTYPE_IP4 = 0x0800;
export const ETHERTYPE_IP6 = 0x86dd;

/** Where fields stand in the headers. */
export const IP4_FRAGMENT_AT = 6;
export const IP4_PROTOCOL_AT = 9;
export const IP6_NEXT_HEADER_AT = 6;
export const IP6_HEADER_BYTES = 40;

const FRAGMENT_OFFSET_MASK = 0x1fff;
const IP6_FRAGMENT_HEADER = 44;
const DESTINATION_PORT_AT = 2;

/** Up to this an EtherType is a length (IEEE 802.3), and the header of 802.2 follows. */
const LENGTH_MAX = 1500;
/** SAPs that stand for both ends: ISO, IP and NetBEUI. */
const SAPS_OF_BOTH_ENDS = [0xfe, 0x06, 0xf0];

export class Frame {
  /** Where the EtherType stands. */
  readonly typeAt: number;
  /** Where the header behind it begins. */
  readonly network: number;

  constructor(tags: number) {
    this.typeAt = 12 + 4 * tags;
    this.network = this.typeAt + 2;
  }

  etherType(value: number): Test {
    if (value > LENGTH_MAX) return half(this.typeAt, value);
    const isLength = range16(this.typeAt, 0, LENGTH_MAX);
    if (SAPS_OF_BOTH_ENDS.includes(value)) return all(isLength, half(this.network, (value << 8) | value));
    return all(isLength, byte(this.network, value));
  }

  /** IPv6: of the next header, or behind a fragment header that is next. Other chains are not followed. */
  protocol(family: Family, protocol: number): Test {
    const ip4 = all(this.etherType(ETHERTYPE_IP4), byte(this.network + IP4_PROTOCOL_AT, protocol));
    if (family === 'ip') return ip4;
    const next = this.network + IP6_NEXT_HEADER_AT;
    const behindFragmentHeader = all(byte(next, IP6_FRAGMENT_HEADER), byte(this.network + IP6_HEADER_BYTES, protocol));
    const ip6 = all(this.etherType(ETHERTYPE_IP6), any(byte(next, protocol), behindFragmentHeader));
    return family === 'ip6' ? ip6 : any(ip4, ip6);
  }

  /** A fragment but the first has no header of a transport protocol. */
  notLaterFragment(): Test {
    return (assembler, yes, no) =>
      assembler.jump(TEST16, [this.network + IP4_FRAGMENT_AT, FRAGMENT_OFFSET_MASK, 0, 0], yes, no);
  }

  ports(protocols: readonly number[], direction: Direction, low: number, high: number): Test {
    const isOneOf = (at: number): Test => any(...protocols.map((protocol) => byte(at, protocol)));
    const ip4 = all(
      this.etherType(ETHERTYPE_IP4),
      isOneOf(this.network + IP4_PROTOCOL_AT),
      this.notLaterFragment(),
      directed(direction, this.#port(0, low, high), this.#port(DESTINATION_PORT_AT, low, high)),
    );
    const ports = this.network + IP6_HEADER_BYTES;
    const ip6 = all(
      this.etherType(ETHERTYPE_IP6),
      isOneOf(this.network + IP6_NEXT_HEADER_AT),
      directed(direction, range16(ports, low, high), range16(ports + DESTINATION_PORT_AT, low, high)),
    );
    return any(ip4, ip6);
  }

  #port(behind: number, low: number, high: number): Test {
    return (assembler, yes, no) => assembler.jump(PORT, [this.network, behind, low, high], yes, no);
  }
}

export function directed(direction: Direction, source: Test, destination: Test): Test {
  switch (direction) {
    case 'src':
      return source;
    case 'dst':
      return destination;
    case 'both':
      return all(source, destination);
    case 'either':
      return any(source, destination);
  }
}

export function byte(at: number, value: number): Test {
  return range8(at, value, value);
}

export function range8(at: number, low: number, high: number, mask: number = 0xff): Test {
  return (assembler, yes, no) => assembler.jump(TEST8, [at, mask, low, high], yes, no);
}

export function half(at: number, value: number, mask: number = 0xffff): Test {
  return (assembler, yes, no) => assembler.jump(TEST16, [at, mask, value, value], yes, no);
}

export function range16(at: number, low: number, high: number): Test {
  return (assembler, yes, no) => assembler.jump(TEST16, [at, 0xffff, low, high], yes, no);
}

export function word(at: number, value: number, mask: number = -1): Test {
  return (assembler, yes, no) => assembler.jump(TEST32, [at, mask, value & mask], yes, no);
}
