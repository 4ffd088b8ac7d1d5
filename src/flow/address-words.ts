/**
 * What policies ask of addresses that stand as four words in a row of words (a flow's key, its target, a socket address). Nothing is allocated here: callers
 * and refused flows may come by the packet.
 */
import {
  IpAddress,
  isIpv4Words,
  isLinkLocalWords,
  isLoopbackWords,
  isMulticastWords,
  parseIpAddress,
} from '../base/address.ts';
import { assert } from '../base/assert.ts';
import { type FlowTable, TARGET_WORDS } from './flow-table.ts';
import { VERDICT } from './policy.ts';

const LIMITED_BROADCAST = -1;
const LOOPBACK_IPV4: IpAddress = new IpAddress(0, 0, 0xffff, 0x7f000001);
const LOOPBACK_IPV6: IpAddress = new IpAddress(0, 0, 0, 1);

/** The protocols that flows have. */
export const PROTOCOL = { ICMP: 1, TCP: 6, UDP: 17, ICMPV6: 58 } as const;
export const DNS_PORT = 53;
/** Of DNS over TLS (RFC 7858) and over QUIC (RFC 9250). */
export const DNS_TLS_PORT = 853;
/** The word of a target that holds the scope id. */
export const SCOPE = 5;

/** Where clouds tell a machine its secrets. */
export const METADATA: readonly IpAddress[] = ['169.254.169.254', 'fd00:ec2::254'].map((text) => {
  const address = parseIpAddress(text);
  assert(address !== undefined, 'the metadata addresses are addresses');
  return address;
});

/** Sends the flow to the host's loopback of its family. Returns the verdict. */
export function toLoopback(flows: FlowTable, flow: number): number {
  writeAddress(flows.isIpv4(flow) ? LOOPBACK_IPV4 : LOOPBACK_IPV6, flows.targets, flow * TARGET_WORDS);
  return VERDICT.ALLOW;
}

/**
 * Addresses that a kernel may take for itself wherever they come from: 127.0.0.0/8 and 0.0.0.0/8, which as socket addresses are the same in their mapped form, and
 * ::/96, which holds ::, ::1 and the IPv4-compatible ::127.0.0.1.
 */
export function isHostItself(words: Int32Array, at: number): boolean {
  const w0 = words[at];
  const w1 = words[at + 1];
  const w2 = words[at + 2];
  const w3 = words[at + 3];
  if (isLoopbackWords(w0, w1, w2, w3)) return true;
  return isIpv4Words(w0, w1, w2) ? w3 >>> 24 === 0 : (w0 | w1 | w2) === 0;
}

export function isGroup(words: Int32Array, at: number): boolean {
  if (isMulticastWords(words[at], words[at + 1], words[at + 2], words[at + 3])) return true;
  return words[at + 3] === LIMITED_BROADCAST && isIpv4Words(words[at], words[at + 1], words[at + 2]);
}

export function isLinkLocal(words: Int32Array, at: number): boolean {
  return isLinkLocalWords(words[at], words[at + 1], words[at + 2], words[at + 3]);
}

export function isLinkLocalIpv6(words: Int32Array, at: number): boolean {
  return !isIpv4Words(words[at], words[at + 1], words[at + 2]) && isLinkLocal(words, at);
}

export function includes(addresses: readonly IpAddress[], words: Int32Array, at: number): boolean {
  for (let i = 0; i < addresses.length; i++) {
    if (isAt(addresses[i], words, at)) return true;
  }
  return false;
}

export function isAt(address: IpAddress, words: Int32Array, at: number): boolean {
  return (
    address.w3 === words[at + 3] &&
    address.w0 === words[at] &&
    address.w1 === words[at + 1] &&
    address.w2 === words[at + 2]
  );
}

export function writeAddress(address: IpAddress, words: Int32Array, at: number): void {
  words[at] = address.w0;
  words[at + 1] = address.w1;
  words[at + 2] = address.w2;
  words[at + 3] = address.w3;
}
