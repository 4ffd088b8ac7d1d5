import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { IpAddress } from '../base/address.ts';
import {
  assertNoPrefixPasses,
  assertSameBytes,
  cut,
  empty,
  frame,
  NEIGHBOR_ADVERTISEMENT,
  NEIGHBOR_SOLICITATION,
  NETWORK,
  ROUTER_SOLICITATION,
  viewOf,
} from './captured.test.ts';
import * as icmpv6 from './icmpv6.ts';
import * as ndp from './ndp.ts';
import { assertNeverLeaves } from './properties.test.ts';

const AT = NETWORK + 40;
const PREFIX = new IpAddress(0x20010db8, 0, 0, 0);
const SERVERS = [new IpAddress(0x20010db8, 0, 0, 0x53), new IpAddress(0xfe800000, 0, 0, 1)];

/** A router advertisement with each option once, its checksum left 0; tshark reads it as what it is called here. */
const ADVERTISEMENT = frame(
  '86000000 40c00708 00007530 000003e8',
  '01010200 0000000b',
  '030440c0 00000e10 00000708 00000000 20010db8 00000000 00000000 00000000',
  '05010000 000005dc',
  '19050000 00000258 20010db8 00000000 00000000 00000053 fe800000 00000000 00000000 00000001',
  '1f040000 00000258 07657861 6d706c65 036f7267 00016101 62000000 00000000',
  '18033018 0000004d 20010db8 00000000 00000000 00000000',
);

describe('ndp', () => {
  it('reads captured solicitations', () => {
    const end = NEIGHBOR_SOLICITATION.byteLength;
    assert.equal(ndp.check(NEIGHBOR_SOLICITATION, AT, end), 24);
    assert.equal(ndp.type(NEIGHBOR_SOLICITATION, AT), ndp.NEIGHBOR_SOLICITATION);
    assert.deepEqual(target(NEIGHBOR_SOLICITATION), [0x20010db8, 0, 0, 2]);
    const option = ndp.findOption(NEIGHBOR_SOLICITATION, AT + 24, end, ndp.OPTION_SOURCE_LINK_LAYER);
    assert.equal(option, AT + 24);
    assert.equal(ndp.optionType(NEIGHBOR_SOLICITATION, option), ndp.OPTION_SOURCE_LINK_LAYER);
    assert.equal(ndp.linkLayerHigh(NEIGHBOR_SOLICITATION, option), 0x0200);
    assert.equal(ndp.linkLayerLow(NEIGHBOR_SOLICITATION, option), 0x0a);
    assert.equal(ndp.findOption(NEIGHBOR_SOLICITATION, AT + 24, end, ndp.OPTION_MTU), -1);
    assert.equal(ndp.check(ROUTER_SOLICITATION, AT, ROUTER_SOLICITATION.byteLength), 8);
  });

  it('reads a captured neighbor advertisement and writes the same bytes', () => {
    assert.equal(ndp.check(NEIGHBOR_ADVERTISEMENT, AT, NEIGHBOR_ADVERTISEMENT.byteLength), 24);
    const flags = ndp.NA_SOLICITED | ndp.NA_OVERRIDE;
    assert.equal(ndp.neighborFlags(NEIGHBOR_ADVERTISEMENT, AT), flags);
    const view = viewOf(new Uint8Array(NEIGHBOR_ADVERTISEMENT.buffer));
    new Uint8Array(view.buffer).fill(0xee, AT);
    let end = AT + ndp.writeNeighborAdvertisement(view, AT, flags, 0x20010db8, 0, 0, 2);
    end += ndp.writeLinkLayerOption(view, end, ndp.OPTION_TARGET_LINK_LAYER, 0x0200, 0x0b);
    icmpv6.writeChecksum(view, NETWORK, AT, end);
    assertSameBytes(view, NEIGHBOR_ADVERTISEMENT);
  });

  it('writes the same bytes as captured solicitations', () => {
    const router = viewOf(new Uint8Array(ROUTER_SOLICITATION.buffer));
    new Uint8Array(router.buffer).fill(0xee, AT);
    let end = AT + ndp.writeRouterSolicitation(router, AT);
    end += ndp.writeLinkLayerOption(router, end, ndp.OPTION_SOURCE_LINK_LAYER, 0x0200, 0x0a);
    icmpv6.writeChecksum(router, NETWORK, AT, end);
    assertSameBytes(router, ROUTER_SOLICITATION);
    const neighbor = viewOf(new Uint8Array(NEIGHBOR_SOLICITATION.buffer));
    new Uint8Array(neighbor.buffer).fill(0xee, AT);
    end = AT + ndp.writeNeighborSolicitation(neighbor, AT, 0x20010db8, 0, 0, 2);
    end += ndp.writeLinkLayerOption(neighbor, end, ndp.OPTION_SOURCE_LINK_LAYER, 0x0200, 0x0a);
    icmpv6.writeChecksum(neighbor, NETWORK, AT, end);
    assertSameBytes(neighbor, NEIGHBOR_SOLICITATION);
  });

  it('writes a router advertisement with all options', () => {
    const view = empty(ADVERTISEMENT.byteLength);
    const end = view.byteLength;
    let at = ndp.writeRouterAdvertisement(view, 0, 64, ndp.RA_MANAGED | ndp.RA_OTHER, 1800, 30_000, 1000);
    at += ndp.writeLinkLayerOption(view, at, ndp.OPTION_SOURCE_LINK_LAYER, 0x0200, 0x0b);
    at += ndp.writePrefixOption(view, at, PREFIX, 64, ndp.PREFIX_ON_LINK | ndp.PREFIX_AUTONOMOUS, 3600, 1800);
    at += ndp.writeMtuOption(view, at, 1500);
    at += ndp.writeRdnssOption(view, at, end, SERVERS, 600);
    at += ndp.writeDnsslOption(view, at, end, ['example.org', 'no..name', '', 'a.b.'], 600);
    at += ndp.writeRouteOption(view, at, PREFIX, 48, -1, 77);
    assert.equal(at, end);
    assertSameBytes(view, ADVERTISEMENT);
  });

  it('reads a router advertisement with all options', () => {
    const end = ADVERTISEMENT.byteLength;
    assert.equal(ndp.check(ADVERTISEMENT, 0, end), 16);
    assert.equal(ndp.routerHopLimit(ADVERTISEMENT, 0), 64);
    assert.equal(ndp.routerFlags(ADVERTISEMENT, 0), 0xc0);
    assert.equal(ndp.routerLifetime(ADVERTISEMENT, 0), 1800);
    assert.equal(ndp.reachableTimeMs(ADVERTISEMENT, 0), 30_000);
    assert.equal(ndp.retransmissionTimeMs(ADVERTISEMENT, 0), 1000);
    const find = (type: number): number => ndp.findOption(ADVERTISEMENT, 16, end, type);
    assert.equal(ndp.mtu(ADVERTISEMENT, find(ndp.OPTION_MTU)), 1500);
    const prefix = find(ndp.OPTION_PREFIX);
    assert.equal(ndp.prefixLength(ADVERTISEMENT, prefix), 64);
    assert.equal(ndp.prefixFlags(ADVERTISEMENT, prefix), 0xc0);
    assert.equal(ndp.prefixValidLifetime(ADVERTISEMENT, prefix), 3600);
    assert.equal(ndp.prefixPreferredLifetime(ADVERTISEMENT, prefix), 1800);
    assert.equal(ndp.prefixWord(ADVERTISEMENT, prefix, 0), PREFIX.w0);
    const servers = find(ndp.OPTION_RDNSS);
    assert.equal(ndp.lifetime(ADVERTISEMENT, servers), 600);
    assert.equal(ndp.rdnssCount(ADVERTISEMENT, servers), 2);
    assert.equal(ndp.rdnssWord(ADVERTISEMENT, servers, 1, 0), 0xfe800000 | 0);
    assert.equal(ndp.rdnssWord(ADVERTISEMENT, servers, 0, 3), 0x53);
    assert.deepEqual(ndp.dnsslDomains(ADVERTISEMENT, find(ndp.OPTION_DNSSL)), ['example.org', 'a.b']);
    const route = find(ndp.OPTION_ROUTE);
    assert.equal(ndp.routePreference(ADVERTISEMENT, route), -1);
    assert.equal(ndp.prefixLength(ADVERTISEMENT, route), 48);
    assert.equal(ndp.routeWord(ADVERTISEMENT, route, 0), PREFIX.w0);
  });

  it('reads a route whose prefix is cut short', () => {
    const view = frame('18020000 ffffffff 20010db8 00000001 18010000 00000001');
    assert.equal(ndp.findOption(view, 0, 24, ndp.OPTION_ROUTE), 0);
    assert.deepEqual(
      [0, 1, 2, 3].map((i) => ndp.routeWord(view, 0, i)),
      [0x20010db8, 1, 0, 0],
    );
    assert.equal(ndp.lifetime(view, 0), ndp.LIFETIME_INFINITE);
    const next = ndp.findOption(view, 16, 24, ndp.OPTION_ROUTE);
    assert.equal(next, 16);
    assert.equal(ndp.routeWord(view, next, 0), 0);
    view.setUint8(18, 1);
    assert.equal(ndp.findOption(view, 16, 24, ndp.OPTION_ROUTE), -1);
  });

  it('refuses every shorter message that does not end between two options', () => {
    assertNoPrefixPasses(ndp.check, cut(NEIGHBOR_SOLICITATION, AT, AT + 24), 24);
    const ends: number[] = [];
    for (let end = 0; end <= ADVERTISEMENT.byteLength; end++) {
      if (ndp.check(cut(ADVERTISEMENT, 0, end), 0, end) > 0) ends.push(end);
    }
    assert.deepEqual(ends, [16, 24, 56, 64, 104, 136, 160]);
  });

  it('refuses a wrong type, a wrong code and an option of size 0', () => {
    const view = cut(NEIGHBOR_SOLICITATION, AT);
    view.setUint8(25, 0);
    assert.equal(ndp.check(view, 0, view.byteLength), ndp.OPTIONS_INVALID);
    view.setUint8(1, 1);
    assert.equal(ndp.check(view, 0, view.byteLength), ndp.CODE_INVALID);
    view.setUint8(0, 137);
    assert.equal(ndp.check(view, 0, view.byteLength), ndp.TYPE_UNKNOWN);
  });

  it('leaves out what does not fit', () => {
    const view = empty(64);
    assert.equal(ndp.writeRdnssOption(view, 0, 23, SERVERS, 1), 0);
    assert.equal(ndp.writeRdnssOption(view, 0, 39, SERVERS, 1), 24);
    assert.equal(ndp.writeRdnssOption(view, 0, 64, [], 1), 0);
    assert.equal(ndp.writeDnsslOption(view, 0, 23, ['example.org'], 1), 0);
    assert.equal(ndp.writeDnsslOption(view, 0, 31, ['example.org', 'a.b'], 1), 24);
    assert.deepEqual(ndp.dnsslDomains(view, 0), ['example.org']);
    const long = empty(4096);
    const servers = new Array<IpAddress>(200).fill(PREFIX);
    assert.equal(ndp.writeRdnssOption(long, 0, 4096, servers, 1), 8 + 127 * 16);
    assert.equal(ndp.rdnssCount(long, 0), 127);
    const domains = new Array<string>(400).fill('a.example');
    const bytes = ndp.writeDnsslOption(long, 0, 4096, domains, 1);
    assert.ok(bytes <= 255 * 8);
    assert.equal(ndp.dnsslDomains(long, 0).length, Math.floor((255 * 8 - 8) / 11));
  });

  it('reads back the domains that were written', () => {
    const label = fc.stringMatching(/^[a-z0-9-]{1,20}$/);
    const domain = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));
    fc.assert(
      fc.property(fc.array(domain, { minLength: 1, maxLength: 5 }), (domains) => {
        const view = empty(1024);
        const bytes = ndp.writeDnsslOption(view, 0, 1024, domains, 600);
        assert.equal(ndp.check(withOption(view, bytes), 0, 8 + bytes), 8);
        assert.deepEqual(ndp.dnsslDomains(view, 0), domains);
      }),
    );
  });

  it('escapes what is not printable in a domain', () => {
    const view = frame('1f020000 00000001 0461002e 5c000000');
    assert.deepEqual(ndp.dnsslDomains(view, 0), ['a\\000\\046\\092']);
  });

  it('never leaves a message that passed, options included', () => {
    const types = [
      ndp.OPTION_SOURCE_LINK_LAYER,
      ndp.OPTION_PREFIX,
      ndp.OPTION_MTU,
      ndp.OPTION_ROUTE,
      ndp.OPTION_RDNSS,
      ndp.OPTION_DNSSL,
    ];
    for (const type of types) {
      for (const units of [1, 2, 3, 4]) {
        const start = [134, 0, ...new Array<number>(14).fill(0), type, units];
        assertNeverLeaves(ndp.check, 16 + 8 * units, start, (view, end, headerBytes) => {
          for (const found of types) readOption(view, ndp.findOption(view, headerBytes, end, found), found);
        });
      }
    }
  });
});

function target(view: DataView): number[] {
  return [0, 1, 2, 3].map((i) => ndp.targetWord(view, AT, i));
}

/** A router solicitation with this option. */
function withOption(option: DataView, bytes: number): DataView {
  const view = empty(8 + bytes);
  ndp.writeRouterSolicitation(view, 0);
  new Uint8Array(view.buffer).set(new Uint8Array(option.buffer, 0, bytes), 8);
  return view;
}

/** Reads all that there is in an option. */
function readOption(view: DataView, option: number, type: number): void {
  if (option < 0) return;
  if (type === ndp.OPTION_SOURCE_LINK_LAYER) ndp.linkLayerLow(view, option);
  if (type === ndp.OPTION_MTU) ndp.mtu(view, option);
  if (type === ndp.OPTION_PREFIX) ndp.prefixWord(view, option, 3);
  if (type === ndp.OPTION_ROUTE) for (let i = 0; i < 4; i++) ndp.routeWord(view, option, i);
  if (type === ndp.OPTION_RDNSS) ndp.rdnssWord(view, option, ndp.rdnssCount(view, option) - 1, 3);
  if (type === ndp.OPTION_DNSSL) ndp.dnsslDomains(view, option);
}
