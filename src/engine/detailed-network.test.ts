import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type IpAddress, type IpPrefix, MacAddress, parseIpAddress, parseIpPrefix } from '../base/address.ts';
import { type GuestNetwork, planGuestNetwork } from '../sys/guest-network.ts';
import type { HostFamily, HostNetwork } from '../sys/host-network.ts';
import { parseResolvConf } from '../sys/resolv-conf.ts';
import { detailedOverrides, planDetailed, shownHost } from './detailed-network.ts';
import type { NetworkDetails } from './network-details.ts';
import { ANYWHERE } from './outbound-sys.ts';
import type { RunOptions } from './run-options.ts';
import { OPTIONS } from './run-options-fixture.test.ts';
import type { SessionNetwork } from './session-network.ts';

const DETAILS: NetworkDetails = {
  ourMac: new MacAddress(0x9a55, 1),
  hostInterface: undefined,
  copyAddresses: true,
  copyRoutes: true,
  netmaskLength: undefined,
  dnsAddresses: [],
  resolvers: undefined,
  toldDns: 'host',
  toldSearch: 'host',
  tellsMtu: true,
  hostName: undefined,
  fullName: undefined,
  dhcp: true,
  dhcpv6: true,
  ndp: true,
  ra: true,
  loopbackAddresses: 'gateway',
  sharedAddresses: [],
  spliceOnly: false,
  outbound: ANYWHERE,
};

const IPV4 = family('192.0.2.5/24', '192.0.2.1', '192.0.2.6/24');
const IPV6 = family('2001:db8::5/64', 'fe80::99');
const BOTH: HostNetwork = { ipv4: IPV4, ipv6: IPV6 };
const NEITHER: HostNetwork = { ipv4: undefined, ipv6: undefined };

function ip(text: string): IpAddress {
  const address = parseIpAddress(text);
  assert.ok(address, text);
  return address;
}

function prefix(text: string): IpPrefix {
  const parsed = parseIpPrefix(text);
  assert.ok(parsed, text);
  return parsed;
}

function family(address: string, gateway: string, ...others: string[]): HostFamily {
  return {
    interfaceName: 'uplink0',
    interfaceIndex: 3,
    mtu: 1500,
    mac: undefined,
    addresses: [address, ...others].map(prefix),
    gateway: ip(gateway),
    metric: 0,
    routes: [
      { destination: prefix(gateway.includes(':') ? '2001:db8:7::/64' : '10.7.0.0/16'), gateway: undefined, metric: 0 },
    ],
  };
}

interface Planned {
  readonly guest: GuestNetwork;
  readonly network: SessionNetwork;
}

function plan(
  details: Partial<NetworkDetails> = {},
  options: Partial<RunOptions> = {},
  host: HostNetwork = BOTH,
  conf: string = 'nameserver 192.0.2.53\nsearch example.org\n',
): Planned {
  const all = { ...OPTIONS, interfaceName: '', dns: 'none', ...options } as const;
  const shown = shownHost(host, { ...DETAILS, ...details });
  const guest = planGuestNetwork(shown, detailedOverrides(all, shown));
  const resolvConf = parseResolvConf(conf, () => undefined);
  return { guest, network: planDetailed(all, { ...DETAILS, ...details }, shown, guest, resolvConf) };
}

function texts(addresses: readonly unknown[]): string[] {
  return addresses.map(String);
}

describe('the interface inside', () => {
  it('is called as the host’s, as was asked for, or tap0', () => {
    assert.equal(plan().guest.interfaceName, 'uplink0');
    assert.equal(plan({}, { interfaceName: 'net0' }).guest.interfaceName, 'net0');
    assert.equal(plan({}, {}, NEITHER).guest.interfaceName, 'tap0');
  });

  it('has what the host has, or less', () => {
    const of = ({ guest }: Planned): string[] => guest.addresses.map(({ address, length }) => `${address}/${length}`);
    assert.deepEqual(of(plan()), ['192.0.2.5/24', '192.0.2.6/24', '2001:db8::5/64']);
    assert.deepEqual(of(plan({ copyAddresses: false })), ['192.0.2.5/24', '2001:db8::5/64']);
    assert.deepEqual(of(plan({ netmaskLength: 16 })), ['192.0.2.5/16', '192.0.2.6/16', '2001:db8::5/64']);
    assert.equal(plan().guest.routes.length, 4);
    assert.equal(plan({ copyRoutes: false }).guest.routes.length, 2);
  });

  it('has no family that the host has not, and link-local addresses where the host has none', () => {
    const of = (host: HostNetwork, options: Partial<RunOptions> = {}): string[] =>
      texts(plan({}, options, host).guest.addresses.map(({ address }) => address));
    assert.deepEqual(of({ ipv4: IPV4, ipv6: undefined }), ['192.0.2.5', '192.0.2.6']);
    assert.deepEqual(of({ ipv4: undefined, ipv6: IPV6 }), ['2001:db8::5']);
    assert.deepEqual(of(NEITHER, { families: '4' }), ['169.254.2.1']);
    assert.equal(String(plan({}, {}, NEITHER).guest.ipv4Gateway), '169.254.2.2');
    const given = { addresses: [prefix('10.0.0.2/24')], gateways: [ip('10.0.0.1')] };
    assert.deepEqual(of({ ipv4: undefined, ipv6: IPV6 }, given), ['10.0.0.2', '2001:db8::5']);
  });
});

describe('names', () => {
  it('of a server somewhere are told as they are, and nobody else answers', () => {
    const { services, policy } = plan().network;
    assert.deepEqual(texts(services.ipv4?.dns ?? []), ['192.0.2.53']);
    assert.deepEqual(services.searchDomains, ['example.org']);
    assert.deepEqual(policy.dnsAddresses, []);
  });

  it('of a server on the host are asked for at the address that is its loopback', () => {
    const { services, policy } = plan({}, {}, BOTH, 'nameserver 127.0.0.53\n').network;
    assert.deepEqual(texts(services.ipv4?.dns ?? []), ['192.0.2.1']);
    assert.deepEqual(texts(policy.dnsAddresses), ['192.0.2.1']);
    assert.deepEqual(texts(policy.resolvers.map(({ address }) => address)), ['127.0.0.53']);
  });

  it('of a server on the host are not told of where that can not be reached', () => {
    const { services, policy } = plan({ loopbackAddresses: [] }, {}, BOTH, 'nameserver 127.0.0.53\n').network;
    assert.deepEqual([services.ipv4?.dns, policy.dnsAddresses], [[], []]);
  });

  it('are asked for at --dns-forward, of the servers of --dns-host', () => {
    const wishes = { dnsAddresses: [ip('169.254.1.1')], resolvers: [ip('10.0.0.53')], toldDns: [], toldSearch: [] };
    const { services, policy } = plan(wishes).network;
    assert.deepEqual(texts(policy.dnsAddresses), ['169.254.1.1']);
    assert.deepEqual(texts(policy.resolvers.map(({ address }) => address)), ['10.0.0.53']);
    assert.deepEqual([services.ipv4?.dns, services.searchDomains], [[], []]);
  });
});

describe('the host', () => {
  it('is at the gateways, and callers from its loopback appear there', () => {
    const { policy } = plan().network;
    assert.deepEqual(texts(policy.loopbackAddresses), ['192.0.2.1', 'fe80::99']);
    assert.deepEqual(texts(policy.callerAddresses), ['192.0.2.1', 'fe80::99']);
  });

  it('is nowhere where that was asked for, and callers still have an address', () => {
    const { policy } = plan({ loopbackAddresses: [] }).network;
    assert.deepEqual(policy.loopbackAddresses, []);
    assert.deepEqual(texts(policy.callerAddresses), ['192.0.2.1', 'fe80::99']);
  });

  it('has no name inside, and no file is replaced', () => {
    const { network } = plan();
    assert.deepEqual([network.files, network.hostAddresses], [[], []]);
  });
});
