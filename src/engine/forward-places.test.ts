import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type IpAddress, parseIpAddress } from '../base/address.ts';
import { type Forward, type ForwardWays, isSpliceOnly, placesOf } from './forward-places.ts';
import type { ForwardRule } from './forward-rules.ts';

const EVERYTHING: ForwardWays = {
  families: 'both',
  ipv4: true,
  ipv6: true,
  guest: true,
  splice: true,
  hostIpv6: true,
};

function ip(text: string): IpAddress {
  const address = parseIpAddress(text);
  assert.ok(address);
  return address;
}

function places(
  kind: `${Forward['direction']} ${Forward['protocol']}`,
  more: Partial<ForwardRule> = {},
  ways: Partial<ForwardWays> = {},
): string {
  const [direction, protocol] = kind.split(' ') as [Forward['direction'], Forward['protocol']];
  const anywhere = { address: undefined, interfaceName: undefined, toAddress: undefined, weak: false };
  const rule = { ...anywhere, firstPort: 1, lastPort: 1, toPort: 1, ...more };
  return placesOf({ direction, protocol, rule }, { ...EVERYTHING, ...ways })
    .map(
      ({ address, dual, device, by }) =>
        `${address}${dual ? '+' : ''}${device === undefined ? '' : `%${device}`} ${by}`,
    )
    .join(', ');
}

describe('the sockets of a forward', () => {
  it('are one for TCP, of the families that there are', () => {
    assert.equal(places('in tcp'), '::+ guest');
    assert.equal(places('in tcp', {}, { ipv6: false }), '0.0.0.0 guest');
    assert.equal(places('in tcp', {}, { hostIpv6: false }), '0.0.0.0 guest');
    assert.equal(places('in tcp', {}, { ipv4: false }), ':: guest');
    assert.equal(places('in tcp', { address: ip('192.0.2.1'), interfaceName: 'eth0' }), '192.0.2.1%eth0 guest');
    assert.equal(places('in tcp', { toAddress: ip('fd00::1') }), ':: guest');
  });

  it('are two for UDP and each family, where the loopback is among its addresses', () => {
    assert.equal(places('in udp'), '0.0.0.0 guest, :: guest, 127.0.0.1 splice, ::1 splice');
    assert.equal(places('in udp', {}, { splice: false }), '0.0.0.0 guest, :: guest');
    assert.equal(places('in udp', {}, { guest: false }), '127.0.0.1 splice, ::1 splice');
    assert.equal(places('in udp', { address: ip('0.0.0.0') }), '0.0.0.0 guest, 127.0.0.1 splice');
    assert.equal(places('in udp', { address: ip('127.0.0.9') }), '127.0.0.9 splice');
    assert.equal(places('in udp', { address: ip('127.0.0.9') }, { splice: false }), '127.0.0.9 guest');
    assert.equal(places('in udp', { address: ip('192.0.2.1') }), '192.0.2.1 guest');
    assert.equal(places('in udp', { interfaceName: 'eth0' }), '0.0.0.0%eth0 guest, ::%eth0 guest');
  });

  it('are at the loopback of a namespace', () => {
    assert.equal(places('out tcp'), '127.0.0.1 splice, ::1 splice');
    assert.equal(places('out udp', { address: ip('0.0.0.0') }), '127.0.0.1 splice');
    assert.equal(places('out tcp', { address: ip('127.0.0.9') }), '127.0.0.9 splice');
    assert.equal(places('out tcp', { toAddress: ip('192.0.2.1') }), '127.0.0.1 splice');
    assert.equal(places('out tcp', {}, { families: '4' }), '127.0.0.1 splice');
    assert.equal(places('out udp', {}, { families: '6' }), '::1 splice');
    assert.equal(places('out tcp', { address: ip('127.0.0.9') }, { families: '6' }), '');
  });

  it('are none where there is no way', () => {
    assert.equal(places('in tcp', {}, { guest: false, splice: false }), '');
    assert.equal(places('in tcp', { address: ip('::1') }, { ipv6: false }), '');
    assert.equal(places('in udp', {}, { guest: false, splice: false }), '');
  });

  it("lead to the namespace's loopback by splice alone", () => {
    const rule = { address: undefined, interfaceName: undefined, firstPort: 1, lastPort: 1, toPort: 1, weak: false };
    assert.equal(isSpliceOnly({ ...rule, toAddress: ip('127.0.0.9') }), true);
    assert.equal(isSpliceOnly({ ...rule, toAddress: ip('192.0.2.1') }), false);
    assert.equal(places('in udp', { toAddress: ip('127.0.0.9') }), '127.0.0.1 splice');
  });
});
