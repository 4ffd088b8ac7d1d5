/**
 * From tree to program. What each primitive looks at, and in which order where that can be seen, is what libpcap's code does on Ethernet: see its man page, and the
 * test beside `compile.ts` that compares the two.
 *
 * Behind `vlan` everything lies 4 bytes further, to the end of the filter, whatever operators and parentheses there are between.
 */
import { Assembler, all, any, inverse, type Test } from './assembler.ts';
import { byte, directed, ETHERTYPE_IP4, ETHERTYPE_IP6, Frame, half, range8, word } from './frame-tests.ts';
import { relationTest } from './generate-arithmetic.ts';
import { ACCEPT, REFUSE } from './program.ts';
import type { AddressProtocol, Direction, Filter, Primitive } from './syntax.ts';

const TAG_TYPES = [0x8100, 0x88a8, 0x9100];
const VLAN_ID_MASK = 0x0fff;

/** Where IPv4 addresses stand behind the Ethernet header, by EtherType. */
const IP4_ADDRESSES: Readonly<Record<AddressProtocol, readonly [etherType: number, source: number, target: number]>> = {
  ip: [ETHERTYPE_IP4, 12, 16],
  arp: [0x0806, 14, 24],
  rarp: [0x8035, 14, 24],
};
const IP6_SOURCE_AT = 8;
const IP6_DESTINATION_AT = 24;

const MAC_DESTINATION_AT = 0;
const MAC_SOURCE_AT = 6;

/** The program of a filter. Throws `FilterMistake`. */
export function generate(filter: Filter): Int32Array {
  const assembler = new Assembler();
  new Generator().test(filter)(assembler, ACCEPT, REFUSE);
  return assembler.finish();
}

class Generator {
  /** VLAN tags in front of what comes next. */
  #tags: number = 0;
  #frame: Frame = new Frame(0);

  /** In the order of the text, because of `vlan`. */
  test(filter: Filter): Test {
    switch (filter.kind) {
      case 'and':
      case 'or': {
        const left = this.test(filter.left);
        const right = this.test(filter.right);
        return filter.kind === 'and' ? all(left, right) : any(left, right);
      }
      case 'not':
        return inverse(this.test(filter.operand));
      default:
        return this.#primitive(filter);
    }
  }

  #primitive(primitive: Primitive): Test {
    const frame = this.#frame;
    switch (primitive.kind) {
      case 'ether-proto':
        return frame.etherType(primitive.value);
      case 'protocol':
        return frame.protocol(primitive.family, primitive.protocol);
      case 'mac':
        return macTest(primitive.direction, primitive.high, primitive.low);
      case 'ip4':
        return any(...primitive.protocols.map((protocol) => ip4Test(frame, protocol, primitive)));
      case 'ip6':
        return ip6Test(frame, primitive.direction, primitive.address, primitive.mask);
      case 'ports':
        return frame.ports(primitive.protocols, primitive.direction, primitive.low, primitive.high);
      case 'multicast':
        return range8(MAC_DESTINATION_AT, 1, 1, 1);
      case 'ip4-multicast':
        return all(frame.etherType(ETHERTYPE_IP4), range8(frame.network + 16, 224, 255));
      case 'ip6-multicast':
        return all(frame.etherType(ETHERTYPE_IP6), byte(frame.network + IP6_DESTINATION_AT, 0xff));
      case 'ip4-broadcast': {
        const destination = frame.network + 16;
        return all(frame.etherType(ETHERTYPE_IP4), any(word(destination, 0), word(destination, -1)));
      }
      case 'relation':
        return relationTest(frame, primitive.operator, primitive.left, primitive.right);
      case 'vlan':
        this.#frame = new Frame(++this.#tags);
        return vlanTest(frame, primitive.id);
    }
  }
}

function vlanTest(frame: Frame, id: number): Test {
  const isTagged = any(...TAG_TYPES.map((type) => half(frame.typeAt, type)));
  return id < 0 ? isTagged : all(isTagged, half(frame.network, id, VLAN_ID_MASK));
}

function macTest(direction: Direction, high: number, low: number): Test {
  const at = (place: number): Test => all(word(place + 2, low), half(place, high));
  return directed(direction, at(MAC_SOURCE_AT), at(MAC_DESTINATION_AT));
}

function ip4Test(
  frame: Frame,
  protocol: AddressProtocol,
  { direction, address, mask }: { direction: Direction; address: number; mask: number },
): Test {
  const [etherType, source, target] = IP4_ADDRESSES[protocol];
  const at = (place: number): Test => word(frame.network + place, address, mask);
  return all(frame.etherType(etherType), directed(direction, at(source), at(target)));
}

function ip6Test(frame: Frame, direction: Direction, address: readonly number[], mask: readonly number[]): Test {
  const at = (place: number): Test =>
    all(...address.map((value, i) => word(frame.network + place + 4 * i, value, mask[i])));
  return all(frame.etherType(ETHERTYPE_IP6), directed(direction, at(IP6_SOURCE_AT), at(IP6_DESTINATION_AT)));
}
