/**
 * Frames as the Linux kernel sent them between two namespaces, 02:00:00:00:00:0a (10.0.2.15, 2001:db8::15) and 02:00:00:00:00:0b
 * (10.0.2.2, 2001:db8::2), captured with checksum offload switched off; and what the tests of this folder share.
 */
import assert from 'node:assert/strict';

/** Who has 10.0.2.2? Tell 10.0.2.15. */
export const ARP_REQUEST: DataView = frame(
  'ffffffffffff 02000000000a 0806',
  '00010800 06040001 02000000 000a0a00 020f0000 00000000 0a000202',
);

/** 10.0.2.2 is at 02:00:00:00:00:0b. */
export const ARP_REPLY: DataView = frame(
  '02000000000a 02000000000b 0806',
  '00010800 06040002 02000000 000b0a00 02020200 0000000a 0a00020f',
);

/** ping -s 16 10.0.2.2. */
export const ECHO_REQUEST: DataView = frame(
  '02000000000b 02000000000a 0800',
  '4500002c 50cd4000 4001d1f3 0a00020f 0a000202 08008b68 34900001 96f2006b',
  '00000000 99a80700 00000000',
);

/** "hello" from 10.0.2.15 to port 4242 of 10.0.2.2. */
export const UDP_IPV4: DataView = frame(
  '02000000000b 02000000000a 0800',
  '45000021 5f074000 4011c3b4 0a00020f 0a000202 ea171092 000da947 68656c6c',
  '6f',
);

/** The answer to it: nobody listens there. */
export const PORT_UNREACHABLE: DataView = frame(
  '02000000000a 02000000000b 0800',
  '45c0003d dc4b0000 400185a4 0a000202 0a00020f 0303152c 00000000 45000021',
  '5f074000 4011c3b4 0a00020f 0a000202 ea171092 000da947 68656c6c 6f',
);

/** A connection to port 80 of 10.0.2.2. */
export const SYN_IPV4: DataView = frame(
  '02000000000b 02000000000a 0800',
  '4500003c 2cd44000 4006f5d7 0a00020f 0a000202 8f560050 a836877c 00000000',
  'a002faf0 e9ce0000 020405b4 0402080a 6b76205d 00000000 0103030a',
);

/** It is refused. */
export const RST_IPV4: DataView = frame(
  '02000000000a 02000000000b 0800',
  '45000028 00004000 400622c0 0a000202 0a00020f 00508f56 00000000 a836877d',
  '50140000 d8650000',
);

/** From a link-local address, with its link-layer address. */
export const ROUTER_SOLICITATION: DataView = frame(
  '333300000002 02000000000a 86dd',
  '60000000 00103aff fe800000 00000000 000000ff fe00000a ff020000 00000000',
  '00000000 00000002 85007b1a 00000000 01010200 0000000a',
);

/** A multicast listener report, behind hop-by-hop options. */
export const LISTENER_REPORT: DataView = frame(
  '333300000016 02000000000b 86dd',
  '60000000 00380001 fe800000 00000000 000000ff fe00000b ff020000 00000000',
  '00000000 00000016 3a000502 00000100 8f006fd7 00000002 04000000 ff020000',
  '00000000 00000001 ff00000b 04000000 ff020000 00000000 00000001 ff000002',
);

/** Who has 2001:db8::2? */
export const NEIGHBOR_SOLICITATION: DataView = frame(
  '3333ff000002 02000000000a 86dd',
  '60000000 00203aff 20010db8 00000000 00000000 00000015 ff020000 00000000',
  '00000001 ff000002 87001c0a 00000000 20010db8 00000000 00000000 00000002',
  '01010200 0000000a',
);

/** The answer. */
export const NEIGHBOR_ADVERTISEMENT: DataView = frame(
  '02000000000a 02000000000b 86dd',
  '60000000 00203aff 20010db8 00000000 00000000 00000002 20010db8 00000000',
  '00000000 00000015 88008a54 60000000 20010db8 00000000 00000000 00000002',
  '02010200 0000000b',
);

/** ping -6 -s 16 2001:db8::2. */
export const ECHO_REQUEST_IPV6: DataView = frame(
  '02000000000b 02000000000a 86dd',
  '6009c6b5 00183a40 20010db8 00000000 00000000 00000015 20010db8 00000000',
  '00000000 00000002 80000c84 34910001 96f2006b 00000000 44b00700 00000000',
);

/** "hello" from 2001:db8::15 to port 4242 of 2001:db8::2. */
export const UDP_IPV6: DataView = frame(
  '02000000000b 02000000000a 86dd',
  '600ea989 000d1140 20010db8 00000000 00000000 00000015 20010db8 00000000',
  '00000000 00000002 84971092 000dcb4f 68656c6c 6f',
);

/** The answer to it. */
export const PORT_UNREACHABLE_IPV6: DataView = frame(
  '02000000000a 02000000000b 86dd',
  '600b0fc6 003d3a40 20010db8 00000000 00000000 00000002 20010db8 00000000',
  '00000000 00000015 01048834 00000000 600ea989 000d1140 20010db8 00000000',
  '00000000 00000015 20010db8 00000000 00000000 00000002 84971092 000dcb4f',
  '68656c6c 6f',
);

/** A connection to port 80 of 2001:db8::2. */
export const SYN_IPV6: DataView = frame(
  '02000000000b 02000000000a 86dd',
  '6005d23d 00280640 20010db8 00000000 00000000 00000015 20010db8 00000000',
  '00000000 00000002 d7460050 3a7f08c9 00000000 a002fd20 b00f0000 020405a0',
  '0402080a e50e3f6a 00000000 0103030a',
);

/** The second and last fragment of a datagram of 1508 bytes. */
export const FRAGMENT_IPV6: DataView = frame(
  '02000000000b 02000000000a 86dd',
  '60027368 00442c40 20010db8 00000000 00000000 00000015 20010db8 00000000',
  '00000000 00000002 110005a8 5a51e555 78787878 78787878 78787878 78787878',
  '78787878 78787878 78787878 78787878 78787878 78787878 78787878 78787878',
  '78787878 78787878 78787878',
);

/** The second and last fragment of a datagram of 1508 bytes. */
export const FRAGMENT_IPV4: DataView = frame(
  '02000000000b 02000000000a 0800',
  '45000030 5f0800b9 401102ec 0a00020f 0a000202 79797979 79797979 79797979',
  '79797979 79797979 79797979 79797979',
);

/** Where the network header starts in each of them. */
export const NETWORK = 14;

export type Check = (view: DataView, at: number, end: number) => number;

export function frame(...hex: readonly string[]): DataView {
  const digits = hex.join('').replaceAll(' ', '');
  const bytes = Uint8Array.from({ length: digits.length / 2 }, (_, i) =>
    Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16),
  );
  return new DataView(bytes.buffer);
}

/** Bytes `at` to `end` in a view of their own, beyond which nothing can be read or written. */
export function cut(view: DataView, at: number, end: number = view.byteLength): DataView {
  return viewOf(new Uint8Array(view.buffer, view.byteOffset + at, end - at));
}

/** A view of a copy of these bytes. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(Uint8Array.from(bytes).buffer);
}

export function empty(bytes: number): DataView {
  return new DataView(new ArrayBuffer(bytes));
}

export function assertSameBytes(actual: DataView, expected: DataView): void {
  assert.deepEqual(bytesOf(actual), bytesOf(expected));
}

/** `check` passes all of the packet with `bytes`, and none of its shorter prefixes. */
export function assertNoPrefixPasses(check: Check, packet: DataView, bytes: number): void {
  assert.equal(check(packet, 0, packet.byteLength), bytes);
  for (let end = 0; end < packet.byteLength; end++) {
    assert.ok(check(cut(packet, 0, end), 0, end) < 0, `a prefix of ${end} bytes passes`);
  }
}

function bytesOf(view: DataView): number[] {
  return [...new Uint8Array(view.buffer, view.byteOffset, view.byteLength)];
}
