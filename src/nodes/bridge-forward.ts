/**
 * Where a frame in a bridge goes (IEEE 802.1Q-2022, sections 8.6 and 8.8): to the interface behind which its destination is, up to the IP layer by the
 * bridge's BVI, or, when it is for a group or for an address that is not known, to all. Used by whatever puts frames into bridges: `bridge-input`, `bvi-output`.
 *
 * A frame never goes back to where it came from, nor to a member that is down, nor from one member to another of the same split-horizon group,
 * nor to a member whose MTU it exceeds (one that carries segmentation offload: its segments, as far as one can tell without reading it). Group addresses that stay on their link (section 8.6.3: pause
 * frames, LACP, LLDP) stay there, but for that of spanning trees: we take no part in one, so who does must hear of the loops through us.
 *
 * A frame that goes to several members is aliased, not copied. The IP layer, however, changes packets in place (an ARP request becomes its answer) while
 * the aliases are waiting to be sent, so when a frame goes to members and to the BVI, the members have a copy. Members get theirs through the
 * emitter, at once: a frame of the graph would overflow.
 */
import { formatMacAddress, MacAddress } from '../base/address.ts';
import type { BridgeTable } from '../forward/bridge-table.ts';
import type { InterfaceTable } from '../forward/interface-table.ts';
import type { L2Fib } from '../forward/l2-fib.ts';
import { drop } from '../graph/drop.ts';
import { ARC_DONE, ARC_NEXT, type Emitter } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import { NO_PACKET, type Packet, type Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as vnet from '../wire/vnet-header.ts';

/** The arcs that `send` returns beside drop and done, for nodes whose `next` begins with what they mean. */
export const ARC_OUTPUT: number = ARC_NEXT;
/** Up to the IP layer: back to `ethernet-input`, as a packet that came in by the BVI. */
export const ARC_UP: number = ARC_NEXT + 1;

const NONE = -1;

/** VLAN tags (IEEE 802.1Q-2022, table 9-1): as on Linux, one of them does not count towards the MTU. */
const TYPE_CUSTOMER_TAG = 0x8100;
const TYPE_SERVICE_TAG = 0x88a8;
const TAG_BYTES = 4;

/** IPv4 and UDP. What headers a frame really has is not known here, and what its virtio-net header says is a hint. */
const SEGMENT_HEADERS_MIN = 28;

/** 01-80-C2-00-00-00 to -0F (IEEE 802.1Q-2022, table 8-1). */
const RESERVED_HIGH = 0x0180;
const RESERVED_LOW = 0xc200_0000 | 0;
const SPANNING_TREE_LOW = RESERVED_LOW;

export class BridgeForward {
  readonly #interfaces: InterfaceTable;
  readonly #bridges: BridgeTable;
  readonly #fib: L2Fib;
  readonly #output: Emitter;
  /** The members that a frame goes to. */
  #reached: Int32Array = new Int32Array(64);

  constructor(interfaces: InterfaceTable, bridges: BridgeTable, fib: L2Fib, output: Emitter) {
    this.#interfaces = interfaces;
    this.#bridges = bridges;
    this.#fib = fib;
    this.#output = output;
  }

  /**
   * Decides for a packet, of which the Ethernet and virtio-net headers were checked, that came into `bridge` by the interface `from`, a member or the
   * BVI. Returns the arc: `ARC_OUTPUT` with `txInterface` set, `ARC_UP` with `rxInterface` set (never for what came from the BVI), drop, or done.
   */
  send(packets: Packets, packet: Packet, bridge: number, from: number): number {
    const { view } = packets;
    const at = packets.start[packet];
    const high = ethernet.destinationHigh(view, at);
    const low = ethernet.destinationLow(view, at);
    if (ethernet.isMulticast(view, at)) {
      if (staysOnLink(high, low)) return drop(packets, packet, REASON['bridge-reserved-group']);
      if (this.#bridges.flood[bridge] === 0) return drop(packets, packet, REASON['bridge-flood-disabled']);
      return this.#flood(packets, packet, bridge, from, this.#bridges.bvi[bridge]);
    }
    const bvi = this.#bridges.bvi[bridge];
    const to = this.isAddressOf(bvi, high, low) ? bvi : this.#fib.find(bridge, high, low);
    if (to === NONE) {
      if (this.#bridges.unknownUnicastFlood[bridge] === 0) {
        return drop(packets, packet, REASON['bridge-destination-unknown']);
      }
      // The IP layer would drop it: it is for another address.
      const listener = bvi !== NONE && this.#interfaces.promiscuous[bvi] === 1 ? bvi : NONE;
      return this.#flood(packets, packet, bridge, from, listener);
    }
    if (this.#bridges.forward[bridge] === 0) return drop(packets, packet, REASON['bridge-forward-disabled']);
    const refusal = this.#refusal(packets, packet, from, to, to === bvi);
    if (refusal !== REASON.none) return drop(packets, packet, refusal);
    return to === bvi ? up(packets, packet, bvi) : this.#out(packets, packet, to);
  }

  /** Whether the address is an interface's own. */
  isAddressOf(interfaceIndex: number, high: number, low: number): boolean {
    return (
      interfaceIndex !== NONE &&
      this.#interfaces.macLow[interfaceIndex] === low &&
      this.#interfaces.macHigh[interfaceIndex] === high
    );
  }

  /** A packet's destination, and where that is as far as the bridge knows: for the trace. */
  describe(packets: Packets, packet: Packet, bridge: number): string {
    const at = packets.start[packet];
    const high = ethernet.destinationHigh(packets.view, at);
    const low = ethernet.destinationLow(packets.view, at);
    const mac = formatMacAddress(new MacAddress(high, low));
    if (ethernet.isMulticast(packets.view, at)) return `${mac}, a group`;
    if (this.isAddressOf(this.#bridges.bvi[bridge], high, low)) return `${mac}, the BVI`;
    const to = this.#fib.find(bridge, high, low);
    return to === NONE ? `${mac}, not known` : `${mac}, behind interface ${to}`;
  }

  /** To all; `bvi` is -1 where the IP layer needs no copy. */
  #flood(packets: Packets, packet: Packet, bridge: number, from: number, bvi: number): number {
    const goesUp = bvi !== NONE && this.#refusal(packets, packet, from, bvi, true) === REASON.none;
    const count = this.#reach(packets, packet, bridge, from);
    if (count === 0) return goesUp ? up(packets, packet, bvi) : drop(packets, packet, REASON['bridge-nobody']);
    this.#bridges.flooded[bridge]++;
    const copy = goesUp ? copyOf(packets, packet) : NO_PACKET;
    const sent = copy === NO_PACKET ? packet : copy;
    for (let i = 1; i < count; i++) {
      const alias = packets.alias(sent);
      if (alias === NO_PACKET) this.#bridges.copiesLost[bridge]++;
      else this.#emit(packets, alias, this.#reached[i]);
    }
    this.#emit(packets, sent, this.#reached[0]);
    if (!goesUp) return ARC_DONE;
    if (copy !== NO_PACKET) return up(packets, packet, bvi);
    this.#bridges.copiesLost[bridge]++;
    return ARC_DONE;
  }

  /** Finds the members that a flooded frame goes to. Returns how many. */
  #reach(packets: Packets, packet: Packet, bridge: number, from: number): number {
    const members = this.#bridges.members(bridge);
    // Members are added by configuration, and so rarely.
    if (this.#reached.length < members.length) this.#reached = new Int32Array(members.length);
    let count = 0;
    for (let i = 0; i < this.#bridges.memberCount[bridge]; i++) {
      const refusal = this.#refusal(packets, packet, from, members[i], false);
      if (refusal === REASON.none) this.#reached[count++] = members[i];
      else if (refusal === REASON['bridge-frame-too-big']) this.#bridges.copiesTooBig[bridge]++;
    }
    return count;
  }

  /** Why a frame from one interface may not go to another; `none` when it may. */
  #refusal(packets: Packets, packet: Packet, from: number, to: number, isBvi: boolean): number {
    const interfaces = this.#interfaces;
    if (to === from) return REASON['bridge-same-interface'];
    if (interfaces.up[to] === 0) return REASON['bridge-member-down'];
    const group = interfaces.splitHorizonGroup[to];
    if (group !== 0 && group === interfaces.splitHorizonGroup[from]) return REASON['bridge-split-horizon'];
    // The IP layer looks at the MTU where a packet leaves.
    return isBvi || fits(packets, packet, interfaces.mtu[to]) ? REASON.none : REASON['bridge-frame-too-big'];
  }

  #out(packets: Packets, packet: Packet, to: number): number {
    packets.txInterface[packet] = to;
    return ARC_OUTPUT;
  }

  #emit(packets: Packets, packet: Packet, to: number): void {
    packets.txInterface[packet] = to;
    this.#output.emit(packet);
  }
}

function up(packets: Packets, packet: Packet, bvi: number): number {
  packets.rxInterface[packet] = bvi;
  return ARC_UP;
}

function staysOnLink(high: number, low: number): boolean {
  return high === RESERVED_HIGH && (low & ~0xf) === RESERVED_LOW && low !== SPANNING_TREE_LOW;
}

function fits(packets: Packets, packet: Packet, mtu: number): boolean {
  const { view } = packets;
  const at = packets.start[packet];
  const bytes = packets.length[packet] - ethernet.HEADER_BYTES;
  if (bytes <= mtu) return true;
  const offload = at - VNET_HEADER_BYTES;
  if (vnet.gsoType(view, offload) !== vnet.GSO_NONE) return vnet.gsoSize(view, offload) + SEGMENT_HEADERS_MIN <= mtu;
  const type = ethernet.type(view, at);
  return (type === TYPE_CUSTOMER_TAG || type === TYPE_SERVICE_TAG) && bytes - TAG_BYTES <= mtu;
}

/** A packet with bytes of its own, the virtio-net header included; `NO_PACKET` when there is no room. */
function copyOf(packets: Packets, packet: Packet): Packet {
  const length = packets.length[packet];
  const copy = packets.allocate(length);
  if (copy === NO_PACKET) return NO_PACKET;
  const from = packets.start[packet] - VNET_HEADER_BYTES;
  packets.bytes.copyWithin(packets.start[copy] - VNET_HEADER_BYTES, from, from + VNET_HEADER_BYTES + length);
  packets.rxInterface[copy] = packets.rxInterface[packet];
  packets.flow[copy] = packets.flow[packet];
  return copy;
}
