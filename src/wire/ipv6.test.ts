import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  assertNoPrefixPasses,
  assertSameBytes,
  cut,
  empty,
  FRAGMENT_IPV6,
  LISTENER_REPORT,
  NETWORK,
  SYN_IPV6,
} from './captured.test.ts';
import * as ipv6 from './ipv6.ts';
import { assertFieldsHold, assertNeverLeaves, BYTE, INT32, UINT16 } from './properties.test.ts';

const { HEADER_DESTINATION_OPTIONS, HEADER_FRAGMENT, HEADER_HOP_BY_HOP, HEADER_ROUTING, PROTOCOL_UDP } = ipv6;

describe('ipv6', () => {
  it('reads a captured packet', () => {
    assert.equal(ipv6.check(SYN_IPV6, NETWORK, SYN_IPV6.byteLength), 40);
    assert.equal(ipv6.trafficClass(SYN_IPV6, NETWORK), 0);
    assert.equal(ipv6.flowLabel(SYN_IPV6, NETWORK), 0x5d23d);
    assert.equal(ipv6.payloadLength(SYN_IPV6, NETWORK), 40);
    assert.equal(ipv6.nextHeader(SYN_IPV6, NETWORK), ipv6.PROTOCOL_TCP);
    assert.equal(ipv6.hopLimit(SYN_IPV6, NETWORK), 64);
    assert.deepEqual(words(ipv6.sourceWord, SYN_IPV6, NETWORK), [0x20010db8, 0, 0, 0x15]);
    assert.deepEqual(words(ipv6.destinationWord, SYN_IPV6, NETWORK), [0x20010db8, 0, 0, 2]);
  });

  it('writes the same bytes', () => {
    const view = empty(40);
    assert.equal(ipv6.writeHeader(view, 0, 40, ipv6.PROTOCOL_TCP, 64, 0, 0x5d23d), 40);
    ipv6.setSource(view, 0, 0x20010db8, 0, 0, 0x15);
    ipv6.copyToDestination(view, 0, SYN_IPV6, ipv6.destinationAt(NETWORK));
    assertSameBytes(view, cut(SYN_IPV6, NETWORK, NETWORK + 40));
    ipv6.setDestination(view, 0, 1, 2, 3, 4);
    ipv6.copyToSource(view, 0, view, ipv6.destinationAt(0));
    assert.deepEqual(words(ipv6.sourceWord, view, 0), [1, 2, 3, 4]);
  });

  it('refuses every shorter packet, and another version', () => {
    assertNoPrefixPasses(ipv6.check, cut(SYN_IPV6, NETWORK), 40);
    assert.equal(ipv6.check(empty(40), 0, 40), ipv6.WRONG_VERSION);
  });

  it('holds what was set', () => {
    const word = (
      i: number,
      get: typeof ipv6.sourceWord,
      at: number,
    ): Parameters<typeof assertFieldsHold>[1][number] => ({
      get: (view, start) => get(view, start, i),
      set: (view, start, value) => view.setInt32(start + at + 4 * i, value),
      range: INT32,
    });
    assertFieldsHold(40, [
      { get: ipv6.trafficClass, set: ipv6.setTrafficClass, range: BYTE },
      { get: ipv6.flowLabel, set: ipv6.setFlowLabel, range: [0, 0xf_ffff] },
      { get: ipv6.payloadLength, set: ipv6.setPayloadLength, range: UINT16 },
      { get: ipv6.nextHeader, set: ipv6.setNextHeader, range: BYTE },
      { get: ipv6.hopLimit, set: ipv6.setHopLimit, range: BYTE },
      ...[0, 1, 2, 3].map((i) => word(i, ipv6.sourceWord, 8)),
      ...[0, 1, 2, 3].map((i) => word(i, ipv6.destinationWord, 24)),
    ]);
  });

  it('never leaves a packet that passed, extension headers included', () => {
    const found = new Int32Array(ipv6.WALK_WORDS);
    const start = [0x60, 0, 0, 0, 0, 30, HEADER_HOP_BY_HOP, 64, ...new Array<number>(32).fill(0), HEADER_FRAGMENT, 0];
    assertNeverLeaves(ipv6.check, 120, start, (view) => {
      const end = ipv6.HEADER_BYTES + ipv6.payloadLength(view, 0);
      const transport = ipv6.walkExtensions(view, 0, end, found);
      if (transport < 0) return;
      assert.ok(transport <= end);
      view.getUint8(found[ipv6.WALK_NEXT_HEADER_AT]);
      if (found[ipv6.WALK_FRAGMENT] >= 0) ipv6.fragmentIdentification(view, found[ipv6.WALK_FRAGMENT]);
    });
  });
});

describe('ipv6 extension headers', () => {
  it('skips the options of a captured listener report', () => {
    assert.deepEqual(walk(cut(LISTENER_REPORT, NETWORK)), { transport: 48, protocol: 58, fragment: -1, namedAt: 40 });
  });

  it('finds nothing to skip in a plain packet', () => {
    assert.deepEqual(walk(cut(SYN_IPV6, NETWORK)), { transport: 40, protocol: 6, fragment: -1, namedAt: 6 });
  });

  it('stops at the header of a captured fragment', () => {
    const packet = cut(FRAGMENT_IPV6, NETWORK);
    assert.deepEqual(walk(packet), { transport: 48, protocol: PROTOCOL_UDP, fragment: 40, namedAt: 6 });
    assert.equal(ipv6.fragmentNextHeader(packet, 40), PROTOCOL_UDP);
    assert.equal(ipv6.fragmentOffset(packet, 40), 1448);
    assert.equal(ipv6.moreFragments(packet, 40), false);
    assert.equal(ipv6.fragmentIdentification(packet, 40), 0x5a51e555);
    const view = empty(8);
    assert.equal(ipv6.writeFragmentHeader(view, 0, PROTOCOL_UDP, 1448, false, 0x5a51e555), 8);
    assertSameBytes(view, cut(packet, 40, 48));
  });

  it('walks a chain, and through an atomic fragment', () => {
    const chain = [HEADER_HOP_BY_HOP, HEADER_DESTINATION_OPTIONS, HEADER_ROUTING, HEADER_FRAGMENT];
    assert.deepEqual(walk(packetOf(chain, PROTOCOL_UDP)), { transport: 72, protocol: 17, fragment: -1, namedAt: 64 });
    const first = packetOf([HEADER_ROUTING, HEADER_FRAGMENT, HEADER_DESTINATION_OPTIONS], PROTOCOL_UDP);
    first.setUint8(51, 1);
    assert.deepEqual(walk(first), { transport: 56, protocol: HEADER_DESTINATION_OPTIONS, fragment: 48, namedAt: 40 });
  });

  it('skips a header as long as it says', () => {
    const packet = packetOf([HEADER_DESTINATION_OPTIONS, HEADER_ROUTING, HEADER_ROUTING], PROTOCOL_UDP);
    packet.setUint8(41, 1);
    packet.setUint8(56, PROTOCOL_UDP);
    assert.deepEqual(walk(packet), { transport: 64, protocol: PROTOCOL_UDP, fragment: -1, namedAt: 56 });
  });

  it('refuses what is cut short, out of its place or without end', () => {
    assert.equal(walk(cut(packetOf([HEADER_ROUTING], PROTOCOL_UDP), 0, 47)).transport, ipv6.EXTENSION_INVALID);
    const long = packetOf([HEADER_DESTINATION_OPTIONS], PROTOCOL_UDP);
    long.setUint8(41, 255);
    assert.equal(walk(long).transport, ipv6.EXTENSION_INVALID);
    const late = packetOf([HEADER_ROUTING, HEADER_HOP_BY_HOP], PROTOCOL_UDP);
    assert.equal(walk(late).transport, ipv6.EXTENSION_INVALID);
    const most = new Array<number>(ipv6.EXTENSIONS_MAX).fill(HEADER_DESTINATION_OPTIONS);
    assert.equal(walk(packetOf(most, PROTOCOL_UDP)).transport, 40 + 8 * most.length);
    assert.equal(walk(packetOf([...most, HEADER_ROUTING], PROTOCOL_UDP)).transport, ipv6.EXTENSIONS_TOO_MANY);
  });

  it('stays within the packet, whatever the headers say', () => {
    const header = fc.constantFrom(0, 43, 44, 60, 6);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(header, fc.nat({ max: 3 }), fc.nat({ max: 0xffff })), { maxLength: 12 }),
        (headers) => {
          const view = empty(40 + headers.length * 8);
          ipv6.writeHeader(view, 0, headers.length * 8, 60, 64, 0, 0);
          headers.forEach(([next, units, word], i) => {
            view.setUint8(40 + i * 8, next);
            view.setUint8(41 + i * 8, units);
            view.setUint16(42 + i * 8, word);
          });
          const { transport } = walk(view);
          assert.ok(transport < 0 || (transport >= 40 && transport <= view.byteLength));
        },
      ),
    );
  });
});

function words(get: typeof ipv6.sourceWord, view: DataView, at: number): number[] {
  return [0, 1, 2, 3].map((i) => get(view, at, i));
}

function walk(view: DataView): { transport: number; protocol: number; fragment: number; namedAt: number } {
  const found = new Int32Array(ipv6.WALK_WORDS);
  const transport = ipv6.walkExtensions(view, 0, view.byteLength, found);
  return {
    transport,
    protocol: found[ipv6.WALK_PROTOCOL],
    fragment: found[ipv6.WALK_FRAGMENT],
    namedAt: found[ipv6.WALK_NEXT_HEADER_AT],
  };
}

/** A packet of nothing but extension headers of 8 bytes each. */
function packetOf(extensions: readonly number[], protocol: number): DataView {
  const view = empty(40 + 8 * extensions.length);
  ipv6.writeHeader(view, 0, 8 * extensions.length, extensions[0], 64, 0, 0);
  extensions.forEach((_, i) => {
    view.setUint8(40 + 8 * i, extensions[i + 1] ?? protocol);
  });
  return view;
}
