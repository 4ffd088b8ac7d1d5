/**
 * Our own addresses: which are on which interface, with which prefix. They decide what is for us, what is on a link, and from which address we speak there.
 *
 * An address belongs to one interface, but for link-local ones (169.254.0.0/16, fe80::/10), which mean something on their own link only: each interface may
 * have the same. Prefixes of several interfaces may overlap; which of them a packet takes is the FIB's business. The first address of a family on an
 * interface is its primary one. Nothing here allocates but `add` and the functions for listing.
 */
import {
  IpAddress,
  type IpPrefix,
  ipv4Address,
  isIpv4,
  isIpv4Words,
  isLinkLocalWords,
  isLoopback,
  isMulticast,
  isUnspecified,
  prefixMask,
} from '../base/address.ts';
import { grown } from '../base/column.ts';
import { INTERFACE_ADDRESSES_MAX, INTERFACE_ADDRESSES_TOTAL_MAX } from '../base/limits.ts';
import { failure, type Result, success } from '../base/result.ts';
import { AddressIndex, NO_ROW, NO_SCOPE } from './address-index.ts';

const MAPPED = 0xffff;
/** Bits in front of an IPv4 address in its mapped form. */
const MAPPED_BITS = 96;
/** The longest IPv4 prefix whose last address is for all: in a /31 both are hosts (RFC 3021). */
const BROADCAST_BITS_MAX: number = MAPPED_BITS + 30;

export class InterfaceAddresses {
  readonly #index: AddressIndex;
  readonly #perInterfaceMax: number;
  #interface: Int32Array;
  /** Bits of the prefix, counted in all 128. */
  #bits: Uint8Array;
  /** The rows of an interface as a list, in the order of adding. */
  #next: Int32Array;
  #first: Int32Array = new Int32Array(16).fill(NO_ROW);

  constructor(perInterfaceMax: number = INTERFACE_ADDRESSES_MAX, addressesMax: number = INTERFACE_ADDRESSES_TOTAL_MAX) {
    this.#index = new AddressIndex(addressesMax);
    this.#perInterfaceMax = perInterfaceMax;
    this.#interface = new Int32Array(this.#index.capacity);
    this.#bits = new Uint8Array(this.#index.capacity);
    this.#next = new Int32Array(this.#index.capacity);
  }

  /** Gives an interface an address. Fails with `address-invalid`, `address-exists` or `addresses-full`. */
  add(interfaceIndex: number, prefix: IpPrefix): Result<undefined> {
    const { address } = prefix;
    const { w0, w1, w2, w3 } = address;
    if (!isHost(prefix)) {
      return failure('address-invalid', `${address} is no address of a host in a network of ${prefix.length} bits`);
    }
    const scope = scopeOf(interfaceIndex, w0, w1, w2, w3);
    const known = this.#index.find(scope, w0, w1, w2, w3);
    if (known !== NO_ROW) {
      return failure('address-exists', `interface ${this.#interface[known]} has the address ${address} already`);
    }
    if (this.#index.isFull || this.#countOn(interfaceIndex) >= this.#perInterfaceMax) {
      return failure('addresses-full', `there is no room for ${address}: remove an address that is not needed`);
    }
    const row = this.#index.insert(scope, w0, w1, w2, w3);
    this.#growTo(interfaceIndex);
    this.#interface[row] = interfaceIndex;
    this.#bits[row] = isIpv4(address) ? prefix.length + MAPPED_BITS : prefix.length;
    this.#append(interfaceIndex, row);
    return success(undefined);
  }

  /** Takes an address from an interface; false when it did not have it. */
  remove(interfaceIndex: number, address: IpAddress): boolean {
    const { w0, w1, w2, w3 } = address;
    const row = this.#rowOn(interfaceIndex, w0, w1, w2, w3);
    if (row === NO_ROW) return false;
    this.#unlink(interfaceIndex, row);
    this.#index.remove(row);
    return true;
  }

  /** Takes all addresses from an interface. */
  flush(interfaceIndex: number): void {
    let row = this.#firstOn(interfaceIndex);
    while (row !== NO_ROW) {
      const next = this.#next[row];
      this.#index.remove(row);
      row = next;
    }
    if (interfaceIndex < this.#first.length) this.#first[interfaceIndex] = NO_ROW;
  }

  /** Whether the address, seen on this interface, is ours: on any of our interfaces, or, when link-local, on this one. */
  isOurs(interfaceIndex: number, w0: number, w1: number, w2: number, w3: number): boolean {
    return this.#index.find(scopeOf(interfaceIndex, w0, w1, w2, w3), w0, w1, w2, w3) !== NO_ROW;
  }

  isOurIpv4(interfaceIndex: number, address: number): boolean {
    return this.isOurs(interfaceIndex, 0, 0, MAPPED, address);
  }

  /** Whether the address is ours on this very interface. */
  isOn(interfaceIndex: number, w0: number, w1: number, w2: number, w3: number): boolean {
    return this.#rowOn(interfaceIndex, w0, w1, w2, w3) !== NO_ROW;
  }

  /** Whether hosts with this address are reached on the interface's own link: a prefix covers it, or both are IPv6 and it is link-local. */
  isOnLink(interfaceIndex: number, w0: number, w1: number, w2: number, w3: number): boolean {
    const everyLink = !isIpv4Words(w0, w1, w2) && isLinkLocalWords(w0, w1, w2, w3);
    for (let row = this.#firstOn(interfaceIndex); row !== NO_ROW; row = this.#next[row]) {
      if (this.#covers(row, w0, w1, w2, w3) || (everyLink && !this.#isIpv4(row))) return true;
    }
    return false;
  }

  /** Whether an IPv4 address is for all hosts of one of the interface's networks: the last address, or the first (RFC 1122, section 3.3.6). */
  isBroadcastOn(interfaceIndex: number, address: number): boolean {
    for (let row = this.#firstOn(interfaceIndex); row !== NO_ROW; row = this.#next[row]) {
      if (this.#bits[row] > BROADCAST_BITS_MAX || !this.#covers(row, 0, 0, MAPPED, address)) continue;
      const hostBits = ~prefixMask(this.#bits[row] - MAPPED_BITS);
      if ((address & hostBits) === hostBits || (address & hostBits) === 0) return true;
    }
    return false;
  }

  /** Our address to speak from to an IPv4 address on the interface: that with the longest prefix that covers both, or the primary one; 0: there is none. */
  ipv4On(interfaceIndex: number, towards: number): number {
    const row = this.#sourceRow(interfaceIndex, 0, 0, MAPPED, towards);
    return row === NO_ROW ? 0 : this.#index.word(row, 3);
  }

  /** The same for IPv6, into `out`, four words. To a link-local address from a link-local one. False: the interface has no address that fits. */
  ipv6On(interfaceIndex: number, w0: number, w1: number, w2: number, w3: number, out: Int32Array): boolean {
    const row = this.#sourceRow(interfaceIndex, w0, w1, w2, w3);
    if (row === NO_ROW) return false;
    for (let i = 0; i < 4; i++) out[i] = this.#index.word(row, i);
    return true;
  }

  /** The addresses of an interface, in the order of adding. */
  list(interfaceIndex: number): IpPrefix[] {
    const list: IpPrefix[] = [];
    for (let row = this.#firstOn(interfaceIndex); row !== NO_ROW; row = this.#next[row]) {
      const word = (i: number): number => this.#index.word(row, i);
      const isV4 = this.#isIpv4(row);
      const address = isV4 ? ipv4Address(word(3)) : new IpAddress(word(0), word(1), word(2), word(3));
      list.push({ address, length: isV4 ? this.#bits[row] - MAPPED_BITS : this.#bits[row] });
    }
    return list;
  }

  #sourceRow(interfaceIndex: number, w0: number, w1: number, w2: number, w3: number): number {
    const isV4 = isIpv4Words(w0, w1, w2);
    const isLocal = !isV4 && isLinkLocalWords(w0, w1, w2, w3);
    let best = NO_ROW;
    let bestBits = -1;
    for (let row = this.#firstOn(interfaceIndex); row !== NO_ROW; row = this.#next[row]) {
      if (this.#isIpv4(row) !== isV4) continue;
      // A link-local source is good for one link: the last choice, but for a link-local destination the only one.
      if (isLocal && !this.#isLinkLocal(row)) continue;
      const bits = this.#covers(row, w0, w1, w2, w3) ? this.#bits[row] + 1 : this.#isLinkLocal(row) ? 0 : 1;
      if (bits <= bestBits) continue;
      best = row;
      bestBits = bits;
    }
    return best;
  }

  #covers(row: number, w0: number, w1: number, w2: number, w3: number): boolean {
    const index = this.#index;
    const bits = this.#bits[row];
    return (
      ((index.word(row, 3) ^ w3) & prefixMask(bits - 96)) === 0 &&
      ((index.word(row, 2) ^ w2) & prefixMask(bits - 64)) === 0 &&
      ((index.word(row, 1) ^ w1) & prefixMask(bits - 32)) === 0 &&
      ((index.word(row, 0) ^ w0) & prefixMask(bits)) === 0 &&
      this.#isIpv4(row) === isIpv4Words(w0, w1, w2)
    );
  }

  #isIpv4(row: number): boolean {
    return isIpv4Words(this.#index.word(row, 0), this.#index.word(row, 1), this.#index.word(row, 2));
  }

  #isLinkLocal(row: number): boolean {
    return this.#index.scope(row) !== NO_SCOPE;
  }

  #rowOn(interfaceIndex: number, w0: number, w1: number, w2: number, w3: number): number {
    const row = this.#index.find(scopeOf(interfaceIndex, w0, w1, w2, w3), w0, w1, w2, w3);
    return row !== NO_ROW && this.#interface[row] === interfaceIndex ? row : NO_ROW;
  }

  #firstOn(interfaceIndex: number): number {
    return interfaceIndex >= 0 && interfaceIndex < this.#first.length ? this.#first[interfaceIndex] : NO_ROW;
  }

  #countOn(interfaceIndex: number): number {
    let count = 0;
    for (let row = this.#firstOn(interfaceIndex); row !== NO_ROW; row = this.#next[row]) count++;
    return count;
  }

  #append(interfaceIndex: number, row: number): void {
    this.#next[row] = NO_ROW;
    let last = this.#first[interfaceIndex];
    if (last === NO_ROW) {
      this.#first[interfaceIndex] = row;
      return;
    }
    while (this.#next[last] !== NO_ROW) last = this.#next[last];
    this.#next[last] = row;
  }

  #unlink(interfaceIndex: number, row: number): void {
    let before = this.#first[interfaceIndex];
    if (before === row) {
      this.#first[interfaceIndex] = this.#next[row];
      return;
    }
    while (this.#next[before] !== row) before = this.#next[before];
    this.#next[before] = this.#next[row];
  }

  #growTo(interfaceIndex: number): void {
    const { capacity } = this.#index;
    if (capacity > this.#interface.length) {
      this.#interface = grown(this.#interface, new Int32Array(capacity));
      this.#bits = grown(this.#bits, new Uint8Array(capacity));
      this.#next = grown(this.#next, new Int32Array(capacity));
    }
    let length = this.#first.length;
    while (length <= interfaceIndex) length *= 2;
    if (length > this.#first.length) this.#first = grown(this.#first, new Int32Array(length).fill(NO_ROW));
  }
}

function scopeOf(interfaceIndex: number, w0: number, w1: number, w2: number, w3: number): number {
  return isLinkLocalWords(w0, w1, w2, w3) ? interfaceIndex : NO_SCOPE;
}

/** Whether a host can have this address in this network: it is no group's, nobody's or loopback's, and in IPv4 not the network's first or last. */
function isHost({ address, length }: IpPrefix): boolean {
  if (isUnspecified(address) || isMulticast(address) || isLoopback(address)) return false;
  if (!isIpv4(address)) return length >= 0 && length <= 128;
  if (length < 0 || length > 32 || address.w3 >>> 28 === 0xf) return false;
  const hostBits = ~prefixMask(length);
  return length > 30 || ((address.w3 & hostBits) !== 0 && (address.w3 & hostBits) !== hostBits);
}
