/** Frames as a guest would send them, one behind another as a link places them in the arena. */
import { VNET_HEADER_BYTES } from '#tapster/packet/packets.js';
import * as ethernet from '#tapster/wire/ethernet.js';
import * as ipv4 from '#tapster/wire/ipv4.js';
import * as ipv6 from '#tapster/wire/ipv6.js';
import * as tcp from '#tapster/wire/tcp.js';
import * as udp from '#tapster/wire/udp.js';
import * as vnet from '#tapster/wire/vnet-header.js';

export const GUEST_MAC = { high: 0x0200, low: 1 } as const;
export const OUR_MAC = { high: 0x0200, low: 2 } as const;
export const GUEST_ADDRESS = 0x0a00020f;
export const REMOTE_ADDRESS: number = 0xc6336407 | 0;
const GUEST6: readonly [number, number, number, number] = [0x20010db8, 0, 0, 0x15];
const REMOTE6: readonly [number, number, number, number] = [0x20010db8, 1, 0, 7];

export const NETWORK_AT: number = ethernet.HEADER_BYTES;
export const TRANSPORT_AT: number = NETWORK_AT + ipv4.HEADER_BYTES;

/** `count` frames of `frameBytes`. */
export class FrameBlock {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly count: number;
  readonly frameBytes: number;
  /** From one frame to the next. */
  readonly stride: number;

  constructor(count: number, frameBytes: number) {
    this.count = count;
    this.frameBytes = frameBytes;
    this.stride = (VNET_HEADER_BYTES + frameBytes + 3) & ~3;
    this.bytes = new Uint8Array(count * this.stride);
    this.view = new DataView(this.bytes.buffer);
  }

  /** Where a frame's Ethernet header is. */
  startOf(index: number): number {
    return index * this.stride + VNET_HEADER_BYTES;
  }
}

export interface Segment {
  readonly fromPort: number;
  readonly sequence: number;
  readonly acknowledgment: number;
  readonly flags: number;
}

/** A datagram of 4 or 6 from `fromPort` to port 53 in every frame; its checksum is left to us, as a guest's kernel does. */
export function writeDatagram(block: FrameBlock, index: number, family: 4 | 6, fromPort: number): void {
  const { view, frameBytes } = block;
  const start = block.startOf(index);
  const transport = writeInternet(block, start, family, udp.PROTOCOL);
  udp.writeHeader(view, transport, fromPort, 53, start + frameBytes - transport);
  udp.writePartialChecksum(view, start + NETWORK_AT, transport);
  markPartial(view, start, transport, udp.CHECKSUM_OFFSET);
}

/** A segment to port 80, whatever is left of the frame its payload. */
export function writeSegment(block: FrameBlock, index: number, segment: Segment): void {
  const { view, frameBytes } = block;
  const start = block.startOf(index);
  const transport = writeInternet(block, start, 4, tcp.PROTOCOL);
  const { fromPort, sequence, acknowledgment, flags } = segment;
  tcp.writeHeader(view, transport, fromPort, 80, sequence, acknowledgment, tcp.HEADER_BYTES, flags, 0xffff);
  tcp.writePartialChecksum(view, start + NETWORK_AT, transport, start + frameBytes);
  markPartial(view, start, transport, tcp.CHECKSUM_OFFSET);
}

function writeInternet({ view, frameBytes }: FrameBlock, start: number, family: 4 | 6, protocol: number): number {
  const type = family === 4 ? ethernet.TYPE_IPV4 : ethernet.TYPE_IPV6;
  ethernet.writeHeader(view, start, OUR_MAC.high, OUR_MAC.low, GUEST_MAC.high, GUEST_MAC.low, type);
  const network = start + NETWORK_AT;
  const bytes = frameBytes - NETWORK_AT;
  if (family === 4) {
    ipv4.writeHeader(view, network, bytes, protocol, GUEST_ADDRESS, REMOTE_ADDRESS, 64, 0, 1, ipv4.DONT_FRAGMENT);
    return network + ipv4.HEADER_BYTES;
  }
  ipv6.writeHeader(view, network, bytes - ipv6.HEADER_BYTES, protocol, 64, 0, 0);
  ipv6.setSource(view, network, ...GUEST6);
  ipv6.setDestination(view, network, ...REMOTE6);
  return network + ipv6.HEADER_BYTES;
}

function markPartial(view: DataView, start: number, transport: number, offset: number): void {
  vnet.setFlags(view, start - VNET_HEADER_BYTES, vnet.FLAG_NEEDS_CSUM);
  vnet.setChecksum(view, start - VNET_HEADER_BYTES, transport - start, offset);
}
