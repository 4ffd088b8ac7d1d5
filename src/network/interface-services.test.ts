import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type IpAddress, type IpPrefix, parseIpAddress, parseIpPrefix } from '../base/address.ts';
import type { DhcpConfig, RouterAdvertisementConfig } from '../config/config.ts';
import { dhcpSettings, routerSettings } from './interface-services.ts';

const ADDRESSES: IpPrefix[] = ['fe80::1/64', '10.0.0.1/24', '172.16.5.1/20', 'fd00:a::1/64'].map(
  (text) => parseIpPrefix(text)!,
);
const DHCP: DhcpConfig = { lease: 3_600_000, dns: [], searchDomains: ['lab'] };
const RA: RouterAdvertisementConfig = { interval: 200_000, lifetime: 0, managed: true, other: false, dns: [] };

function ip(text: string): IpAddress {
  return parseIpAddress(text)!;
}

function texts(list: readonly IpAddress[] | undefined): string {
  return (list ?? []).join();
}

describe('settings of services', () => {
  it('serve all of the first network by DHCP, from our address', () => {
    const settings = dhcpSettings({ dhcp: DHCP }, ADDRESSES, 1400);
    assert.deepEqual([settings?.network.address, settings?.first, settings?.last, settings?.router].map(String), [
      '10.0.0.1',
      '10.0.0.0',
      '10.0.0.255',
      '10.0.0.1',
    ]);
    assert.equal(settings?.mtu, 1400);
    assert.equal(settings?.leaseMs, 3_600_000);
    assert.deepEqual(settings?.searchDomains, ['lab']);
  });

  it('serve the network that the pool is in, and the router that is configured', () => {
    const pool = { first: ip('172.16.0.9'), last: ip('172.16.0.20') };
    const settings = dhcpSettings({ dhcp: { ...DHCP, pool, gateway: ip('172.16.0.1') } }, ADDRESSES, 1500);
    assert.deepEqual([settings?.network.address, settings?.first, settings?.last, settings?.router].map(String), [
      '172.16.5.1',
      '172.16.0.9',
      '172.16.0.20',
      '172.16.0.1',
    ]);
  });

  it('name the servers that are configured, else us, where we serve DNS', () => {
    const named = [ip('192.0.2.53'), ip('2001:db8::53')];
    const dns = { servers: [] };
    assert.equal(texts(dhcpSettings({ dhcp: DHCP }, ADDRESSES, 1500)?.dns), '');
    assert.equal(texts(dhcpSettings({ dhcp: DHCP, dns }, ADDRESSES, 1500)?.dns), '10.0.0.1');
    assert.equal(texts(dhcpSettings({ dhcp: { ...DHCP, dns: named }, dns }, ADDRESSES, 1500)?.dns), '192.0.2.53');
    assert.equal(texts(routerSettings({ ra: RA }, ADDRESSES)?.dns), '');
    assert.equal(texts(routerSettings({ ra: RA, dns }, ADDRESSES)?.dns), 'fd00:a::1');
    assert.equal(texts(routerSettings({ ra: { ...RA, dns: named }, dns }, ADDRESSES)?.dns), '2001:db8::53');
  });

  it('are none where there is no service, or nothing to serve from', () => {
    assert.equal(dhcpSettings({}, ADDRESSES, 1500), undefined);
    assert.equal(dhcpSettings({ dhcp: DHCP }, [ADDRESSES[0]], 1500), undefined);
    assert.equal(routerSettings({}, ADDRESSES), undefined);
  });
});
