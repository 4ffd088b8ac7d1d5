/**
 * What must be true of every frame that a running network sends:
 *
 * - its interface is there, and up; so is the sub-interface whose tag it has
 * - it is no larger than the interface's MTU, and asks for no offload that the device does not have
 * - what we made ourselves is well formed, its checksums right
 * - a packet that was routed has lost one of its hops, its header's checksum is right, and it comes from our MAC address on that very interface
 * - a frame that is not from one of our MAC addresses was bridged: it leaves by a member of a bridge, from somebody who has sent frames, is not where it came from or in the same
 *   split-horizon group, and no larger than the MTU
 */
import assert from 'node:assert/strict';
import { formatIpv4, formatIpWords, formatMacAddress, MacAddress } from '#tapster/base/address.js';
import type { DataPlane } from '#tapster/network/data-plane.js';
import { carries, type Port } from '#tapster/network/port.js';
import * as ethernet from '#tapster/wire/ethernet.js';
import * as ipv4 from '#tapster/wire/ipv4.js';
import * as ipv6 from '#tapster/wire/ipv6.js';
import * as vnet from '#tapster/wire/vnet-header.js';
import { problemOf, VNET_BYTES } from './frames.ts';
import { OURS } from './network-config.ts';
import { TYPE_VLAN, typeOf, withEthernet, withoutTag } from './network-frames.ts';

const NETWORK = VNET_BYTES + ethernet.HEADER_BYTES;
/** Hops of packets that we make, or that the translators make for hosts. */
const OWN_HOPS: readonly number[] = [64, 255];

/** RFC 8200, section 5: links that carry less are none for IPv6, and errors are as long as this. */
const IPV6_MTU_MIN = 1280;

interface IpPacket {
  readonly source: string;
  /** What packets of one flow, fragments included, have in common. */
  readonly key: string;
  readonly hops: number;
}

export class FrameJudge {
  readonly #plane: DataPlane;
  /** Hops left of packets that came, by what they have in common. */
  readonly #hops: Map<string, Set<number>> = new Map();
  /** Source MAC addresses of frames that came. */
  readonly #sources: Set<string> = new Set();
  /** By frame, since all was quiet last: the interfaces that it came by. */
  readonly #recent: Map<string, Set<string>> = new Map();

  constructor(plane: DataPlane) {
    this.#plane = plane;
  }

  /** A guest has sent a frame. */
  came(name: string, bytes: Uint8Array): void {
    const text = textOf(bytes);
    const by = this.#recent.get(text) ?? new Set();
    this.#recent.set(text, by.add(name));
    if (bytes.length < NETWORK) return;
    const plain = name.startsWith('tun') ? withEthernet(bytes) : untagged(bytes);
    this.#sources.add(sourceMac(plain));
    const packet = ipOf(plain);
    if (packet === undefined) return;
    const hops = this.#hops.get(packet.key) ?? new Set();
    this.#hops.set(packet.key, hops.add(packet.hops));
  }

  /** The engine has nothing more to do. */
  settled(): void {
    this.#recent.clear();
  }

  /** The network has sent a frame. */
  sent(name: string, bytes: Uint8Array): void {
    const { ports } = this.#plane;
    const port = ports.find(name);
    assert.ok(port !== undefined, `a frame leaves by ${name}, which is not there`);
    assert.ok(carries(port), `a frame leaves by ${name}, which is down`);
    const view = viewOf(bytes);
    assert.ok(vnet.check(view, 0, bytes.length - VNET_BYTES) >= 0, `a virtio-net header is wrong on ${name}`);
    judgeOffload(port, view);
    if (port.kind === 'tap' && port.part.tap.mode === 'tun') {
      this.#judgePacket(port, withEthernet(bytes), bytes.length - VNET_BYTES, true);
      return;
    }
    assert.ok(bytes.length >= NETWORK, `a frame of ${bytes.length - VNET_BYTES} bytes leaves by ${name}`);
    const isTagged = typeOf(bytes) === TYPE_VLAN;
    const plain = untagged(bytes);
    const sub = isTagged ? ports.find(`${name}.${view.getUint16(NETWORK) & 0xfff}`) : undefined;
    if (sub !== undefined) assert.ok(carries(sub), `a frame leaves by ${sub.name}, which is down`);
    const isOurs = this.#isOurMac(plain);
    if (isOurs) this.#judgePacket(sub ?? port, plain, plain.length - NETWORK, false);
    else this.#judgeBridged(sub ?? port, name, bytes);
  }

  #judgePacket(port: Port, plain: Uint8Array, bytes: number, isTun: boolean): void {
    const { interfaces, bridges } = this.#plane.forwarding;
    const view = viewOf(plain);
    if (vnet.gsoType(view, 0) === vnet.GSO_NONE) {
      const isIpv6 = typeOf(plain) === ethernet.TYPE_IPV6;
      const mtu = Math.max(interfaces.mtu[port.index]!, isIpv6 ? IPV6_MTU_MIN : 0);
      assert.ok(bytes <= mtu, `${bytes} bytes leave by ${port.name}, whose MTU is ${mtu}`);
    }
    if (!isTun && !this.#sources.has(sourceMac(plain))) {
      const from = port.bridge === undefined ? port.index : bridges.bvi[interfaces.bridge[port.index]!]!;
      const ours = new MacAddress(interfaces.macHigh[from]!, interfaces.macLow[from]!);
      assert.equal(sourceMac(plain), formatMacAddress(ours), `a frame of ours leaves by ${port.name}`);
    }
    const packet = ipOf(plain);
    const came = packet === undefined ? undefined : this.#hops.get(packet.key);
    if (packet === undefined || came === undefined || OURS.has(packet.source)) {
      if (came === undefined) assert.equal(problemOf(plain), undefined, `of a frame that leaves by ${port.name}`);
      return;
    }
    if (came.has(packet.hops + 1)) {
      if (typeOf(plain) === ethernet.TYPE_IPV4) {
        assert.ok(ipv4.check(view, NETWORK, plain.length) > 0 && ipv4.verifyChecksum(view, NETWORK), 'a routed header');
      }
      return;
    }
    assert.ok(OWN_HOPS.includes(packet.hops), `${packet.key} leaves with ${packet.hops} hops, came with ${[...came]}`);
  }

  #judgeBridged({ name: port, bridge, index }: Port, name: string, bytes: Uint8Array): void {
    const from = sourceMac(untagged(bytes));
    const { mtu, splitHorizonGroup } = this.#plane.forwarding.interfaces;
    assert.ok(bridge !== undefined, `a frame from ${from} leaves by ${port}, which is in no bridge`);
    assert.ok(this.#sources.has(from), `a frame leaves by ${port} from ${from}, who has sent none`);
    const by = this.#recent.get(textOf(bytes));
    assert.ok(by === undefined || !by.has(name) || by.size > 1, `a frame goes back by ${name}, where it came from`);
    if (vnet.gsoType(viewOf(bytes), 0) === vnet.GSO_NONE) {
      const size = untagged(bytes).length - NETWORK;
      assert.ok(size <= mtu[index]!, `${size} bytes are bridged to ${port}, whose MTU is ${mtu[index]}`);
    }
    const [came, ...others] = by ?? [];
    const source = came === undefined || others.length > 0 ? undefined : this.#plane.ports.find(came);
    if (source === undefined || port !== name) return;
    const group = splitHorizonGroup[index]!;
    assert.ok(
      group === 0 || group !== splitHorizonGroup[source.index],
      `a frame goes from ${came} to ${port}, in one group`,
    );
  }

  #isOurMac(plain: Uint8Array): boolean {
    const { interfaces } = this.#plane.forwarding;
    const source = sourceMac(plain);
    for (let index = 0; index < interfaces.end; index++) {
      if (!interfaces.has(index)) continue;
      const ours = new MacAddress(interfaces.macHigh[index]!, interfaces.macLow[index]!);
      if (formatMacAddress(ours) === source) return true;
    }
    return false;
  }
}

function judgeOffload(port: Port, view: DataView): void {
  if (port.kind === 'bvi') return;
  const { checksum, tcpSegmentation, udpSegmentation } = port.link.offload;
  const kind = vnet.gsoType(view, 0) & ~vnet.GSO_ECN;
  const isPartial = (vnet.flags(view, 0) & vnet.FLAG_NEEDS_CSUM) !== 0;
  assert.ok(checksum || !isPartial, `${port.name} completes no checksums`);
  if (kind === vnet.GSO_NONE) return;
  const takes = kind === vnet.GSO_UDP_L4 ? udpSegmentation : tcpSegmentation;
  assert.ok(takes && kind !== vnet.GSO_UDP, `${port.name} does not cut frames of kind ${kind}`);
}

function untagged(bytes: Uint8Array): Uint8Array {
  return typeOf(bytes) === TYPE_VLAN && bytes.length >= NETWORK + 4 ? withoutTag(bytes) : bytes;
}

function ipOf(plain: Uint8Array): IpPacket | undefined {
  const view = viewOf(plain);
  const type = typeOf(plain);
  if (type === ethernet.TYPE_IPV4 && plain.length >= NETWORK + ipv4.HEADER_BYTES) {
    const source = formatIpv4(ipv4.source(view, NETWORK));
    const key = `${source} > ${formatIpv4(ipv4.destination(view, NETWORK))}`;
    return { source, key, hops: ipv4.timeToLive(view, NETWORK) };
  }
  if (type === ethernet.TYPE_IPV6 && plain.length >= NETWORK + ipv6.HEADER_BYTES) {
    const word = (read: typeof ipv6.sourceWord, index: number): number => read(view, NETWORK, index);
    const textFrom = (read: typeof ipv6.sourceWord): string =>
      formatIpWords(word(read, 0), word(read, 1), word(read, 2), word(read, 3));
    const source = textFrom(ipv6.sourceWord);
    return { source, key: `${source} > ${textFrom(ipv6.destinationWord)}`, hops: ipv6.hopLimit(view, NETWORK) };
  }
  return undefined;
}

function sourceMac(plain: Uint8Array): string {
  const view = viewOf(plain);
  return formatMacAddress(new MacAddress(ethernet.sourceHigh(view, VNET_BYTES), ethernet.sourceLow(view, VNET_BYTES)));
}

/** Without what its virtio-net header says: that may change on the way. */
function textOf(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes.subarray(VNET_BYTES));
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
