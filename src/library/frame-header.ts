/**
 * The virtio-net header of a frame as a value (virtio 1.2, section 5.1.6): what is still to be done to the frame. The bytes are those of `wire/vnet-header.ts`.
 */
import { failure, type Result, success } from '../base/result.ts';
import * as vnet from '../wire/vnet-header.ts';

/** Into what a frame is to be cut: nothing, TCP segments over IPv4 or IPv6, or UDP datagrams. */
export type GsoType = 'none' | 'tcp4' | 'tcp6' | 'udp';

/** What is still to be done to a frame before it can go over a real wire. All offsets and sizes are bytes. */
export interface FrameHeader {
  /** The transport checksum holds the pseudo-header's sum only: the sum from `checksumStart` to the frame's end belongs at `checksumStart + checksumOffset`. */
  readonly needsChecksum: boolean;
  /** Where the transport header starts, counted from the start of the frame. */
  readonly checksumStart: number;
  /** Where the checksum lies in the transport header: 16 in TCP, 6 in UDP. */
  readonly checksumOffset: number;
  readonly gsoType: GsoType;
  /** Payload of each piece that the frame is to be cut into; 0 where `gsoType` is none. */
  readonly gsoSize: number;
  /** All headers, up to the payload; 0: not told. */
  readonly headerBytes: number;
  /** Only the first segment may carry CWR (RFC 3168). */
  readonly ecn: boolean;
}

const GSO: Readonly<Record<GsoType, number>> = {
  none: vnet.GSO_NONE,
  tcp4: vnet.GSO_TCPV4,
  tcp6: vnet.GSO_TCPV6,
  udp: vnet.GSO_UDP_L4,
};

/** Of a header that the kernel wrote. */
export function readFrameHeader(view: DataView, at: number): FrameHeader {
  const kind = vnet.gsoType(view, at);
  return {
    needsChecksum: (vnet.flags(view, at) & vnet.FLAG_NEEDS_CSUM) !== 0,
    checksumStart: vnet.checksumStart(view, at),
    checksumOffset: vnet.checksumOffset(view, at),
    gsoType: gsoTypeOf(kind & ~vnet.GSO_ECN),
    gsoSize: vnet.gsoSize(view, at),
    headerBytes: vnet.headerLength(view, at),
    ecn: (kind & vnet.GSO_ECN) !== 0,
  };
}

/** Writes the header in front of a frame of `frameBytes`, or says what is wrong with it. */
export function writeFrameHeader(view: DataView, at: number, header: FrameHeader, frameBytes: number): Result<void> {
  const kind = GSO[header.gsoType] ?? -1;
  if (kind < 0) return invalid(`gsoType is ${Object.keys(GSO).join(', ')}, not ${JSON.stringify(header.gsoType)}`);
  for (const field of ['checksumStart', 'checksumOffset', 'gsoSize', 'headerBytes'] as const) {
    const value = header[field];
    if (!Number.isInteger(value) || value < 0 || value > 0xffff) return invalid(`${field} is 0 to 65535, not ${value}`);
  }
  const flags = header.needsChecksum ? vnet.FLAG_NEEDS_CSUM : 0;
  const ecn = header.ecn ? vnet.GSO_ECN : 0;
  const { headerBytes, gsoSize, checksumStart, checksumOffset } = header;
  vnet.writeHeader(view, at, flags, kind | ecn, headerBytes, gsoSize, checksumStart, checksumOffset);
  const checked = vnet.check(view, at, frameBytes);
  return checked > 0 ? success(undefined) : invalid(PROBLEMS[checked] ?? 'it contradicts itself');
}

const PROBLEMS: Readonly<Record<number, string>> = {
  [vnet.CHECKSUM_RANGE_INVALID]: 'checksumStart and checksumOffset lead out of the frame',
  [vnet.GSO_TYPE_UNKNOWN]: 'ecn goes with tcp4 and tcp6 only',
  [vnet.GSO_SIZE_INVALID]: 'a frame that is to be cut needs a gsoSize above 0',
  [vnet.GSO_WITHOUT_CHECKSUM]: 'a frame that is to be cut needs needsChecksum',
  [vnet.HEADER_LENGTH_INVALID]: 'headerBytes is more than the frame has',
};

function invalid(what: string): Result<never> {
  return failure('tap-header-invalid', `the frame's header is wrong: ${what}`);
}

function gsoTypeOf(kind: number): GsoType {
  switch (kind) {
    case vnet.GSO_TCPV4:
      return 'tcp4';
    case vnet.GSO_TCPV6:
      return 'tcp6';
    case vnet.GSO_UDP_L4:
      return 'udp';
    default:
      return 'none';
  }
}
