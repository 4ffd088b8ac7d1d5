import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type IpAddress, type IpPrefix, MacAddress, parseIpAddress, parseIpPrefix } from '../base/address.ts';
import { planGuestNetwork } from '../sys/guest-network.ts';
import type { HostFamily, HostNetwork } from '../sys/host-network.ts';
import { parseResolvConf, type ResolvConf } from '../sys/resolv-conf.ts';
import type { RunOptions } from './run-options.ts';
import { OPTIONS } from './run-options-fixture.test.ts';
import { guestHosts, guestResolvConf, planSession, type SessionNetwork } from './session-network.ts';

const IPV4 = family(3, '192.0.2.5/24', '192.0.2.1');
const IPV6 = family(4, '2001:db8::5/64', 'fe80::99');
const BOTH: HostNetwork = { ipv4: IPV4, ipv6: IPV6 };
const NEITHER: HostNetwork = { ipv4: undefined, ipv6: undefined };
const CONF = parseResolvConf('nameserver 127.0.0.53\noptions edns0\nsearch example.org lab.example.org\n', () => 2);

function ip(text: string): IpAddress {
  const address = parseIpAddress(text);
  assert.ok(address, text);
  return address;
}

function family(interfaceIndex: number, address: string, gateway: string | undefined): HostFamily {
  return {
    interfaceName: 'uplink0',
    interfaceIndex,
    mtu: 1500,
    mac: new MacAddress(0x0200, 9),
    addresses: [prefix(address)],
    gateway: gateway === undefined ? undefined : ip(gateway),
    metric: 100,
    routes: [],
  };
}

function prefix(text: string): IpPrefix {
  const parsed = parseIpPrefix(text);
  assert.ok(parsed, text);
  return parsed;
}

function plan(options: Partial<RunOptions> = {}, host: HostNetwork = BOTH, conf: ResolvConf = CONF): SessionNetwork {
  const all = { ...OPTIONS, ...options };
  return planSession(all, host, planGuestNetwork(host, all), conf);
}

function texts(addresses: readonly IpAddress[] | undefined): string[] {
  return (addresses ?? []).map(String);
}

function file(network: SessionNetwork, path: string): string | undefined {
  return network.files.find((each) => each.path === path)?.content;
}

describe('DNS inside', () => {
  const address4 = '169.254.1.53';
  const address6 = 'fd74:6170:7374:6572::53';

  it("is forwarded to the host's resolvers, at addresses of ours", () => {
    const { policy, services } = plan();
    assert.deepEqual(texts(policy.dnsAddresses), [address4, address6]);
    assert.deepEqual(policy.resolvers, [{ address: ip('127.0.0.53'), scopeId: 0 }]);
    assert.deepEqual(texts(policy.namedServers), []);
    assert.deepEqual(texts(services.ipv4?.dns), [address4]);
    assert.deepEqual(texts(services.ipv6?.dns), [address6]);
    assert.deepEqual(services.searchDomains, ['example.org', 'lab.example.org']);
  });

  it('has the address of the family that there is', () => {
    assert.deepEqual(texts(plan({ families: '4' }).policy.dnsAddresses), [address4]);
    assert.deepEqual(texts(plan({ families: '6' }).policy.dnsAddresses), [address6]);
    assert.equal(
      file(plan({ families: '6' }), '/etc/resolv.conf'),
      `nameserver ${address6}\nsearch example.org lab.example.org\noptions edns0\n`,
    );
  });

  it('is asked by one address, with the search list and the options of the host', () => {
    assert.equal(
      file(plan(), '/etc/resolv.conf'),
      `nameserver ${address4}\nsearch example.org lab.example.org\noptions edns0\n`,
    );
    assert.equal(
      file(
        plan(
          {},
          BOTH,
          parseResolvConf('', () => 2),
        ),
        '/etc/resolv.conf',
      ),
      `nameserver ${address4}\n`,
    );
  });

  it('follows the host when its file changes', () => {
    const { policy, services } = plan(
      {},
      BOTH,
      parseResolvConf('nameserver fe80::53%up\nsearch x.test\n', () => 9),
    );
    assert.deepEqual(policy.resolvers, [{ address: ip('fe80::53'), scopeId: 9 }]);
    assert.deepEqual(services.searchDomains, ['x.test']);
  });

  it('asks servers that the user names directly, whatever they are', () => {
    const dns = [ip('9.9.9.9'), ip('2620:fe::fe'), ip('169.254.169.254')];
    const network = plan({ dns });
    assert.equal(
      file(network, '/etc/resolv.conf'),
      'nameserver 9.9.9.9\nnameserver 2620:fe::fe\nnameserver 169.254.169.254\n' +
        'search example.org lab.example.org\noptions edns0\n',
    );
    assert.deepEqual(texts(network.policy.dnsAddresses), []);
    assert.deepEqual(network.policy.namedServers, dns);
    assert.deepEqual(texts(network.services.ipv4?.dns), ['9.9.9.9', '169.254.169.254']);
    assert.deepEqual(texts(network.services.ipv6?.dns), ['2620:fe::fe']);
  });

  it('is left alone with --no-dns', () => {
    const network = plan({ dns: 'none' });
    assert.deepEqual(network.files, []);
    assert.deepEqual([texts(network.policy.dnsAddresses), texts(network.policy.namedServers)], [[], []]);
    assert.deepEqual(network.services.searchDomains, []);
    assert.equal(guestResolvConf({ ...OPTIONS, dns: 'none' }, [], CONF), undefined);
  });
});

describe("the host's loopback", () => {
  const host6 = 'fd74:6170:7374:6572::1';

  it('can not be reached unless asked for, but its IPv6 address is ours nevertheless', () => {
    const network = plan();
    assert.deepEqual(network.policy.loopbackAddresses, []);
    assert.deepEqual(network.hostAddresses, []);
    assert.equal(file(network, '/etc/hosts'), undefined);
    assert.deepEqual(texts(network.policy.ownAddresses), [host6]);
  });

  it('stands at the gateways, and for IPv6 at an address that programs need no scope for', () => {
    const network = plan({ hostLoopback: 'gateway' });
    assert.deepEqual(texts(network.policy.loopbackAddresses), ['192.0.2.1', 'fe80::99', host6]);
    assert.deepEqual(texts(network.hostAddresses), ['192.0.2.1', host6]);
    assert.match(
      file(network, '/etc/hosts') ?? '',
      /\n192\.0\.2\.1 host\.tapster\.internal\nfd74:6170:7374:6572::1 host\.tapster\.internal\n$/,
    );
  });

  it('stands at a global gateway by name as well', () => {
    const host = { ipv4: IPV4, ipv6: family(4, '2001:db8::5/64', '2001:db8::1') };
    assert.deepEqual(texts(plan({ hostLoopback: 'gateway' }, host).hostAddresses), ['192.0.2.1', '2001:db8::1']);
  });

  it('stands at the address that the user chose', () => {
    const ipv4 = plan({ hostLoopback: ip('10.9.9.9') });
    assert.deepEqual(texts(ipv4.policy.loopbackAddresses), ['10.9.9.9', host6]);
    assert.deepEqual(texts(ipv4.hostAddresses), ['10.9.9.9', host6]);
    const ipv6 = plan({ hostLoopback: ip('fd00::9') });
    assert.deepEqual(texts(ipv6.policy.loopbackAddresses), ['fd00::9', host6]);
    assert.deepEqual(texts(ipv6.hostAddresses), ['fd00::9']);
    assert.deepEqual(texts(plan({ hostLoopback: ip(host6) }).policy.loopbackAddresses), [host6]);
  });

  it('has no address in a family that the guest does not have', () => {
    const only4 = plan({ hostLoopback: 'gateway', families: '4' });
    assert.deepEqual(texts(only4.policy.loopbackAddresses), ['192.0.2.1']);
    assert.deepEqual(texts(only4.hostAddresses), ['192.0.2.1']);
    const only6 = plan({ hostLoopback: 'gateway', families: '6' });
    assert.deepEqual(texts(only6.hostAddresses), [host6]);
    assert.deepEqual(texts(plan({ hostLoopback: ip('fd00::9'), families: '4' }).hostAddresses), []);
  });
});

describe('addresses that are ours', () => {
  it('leave out the gateways that somebody else has', () => {
    assert.deepEqual(texts(plan().policy.ownAddresses), ['fd74:6170:7374:6572::1']);
    // Another router of the same network, perhaps.
    const other = plan({ gateways: [ip('192.0.2.254')] });
    assert.deepEqual(texts(other.policy.ownAddresses), ['fd74:6170:7374:6572::1']);
  });

  it('are the gateways that we made up', () => {
    const own = (options: Partial<RunOptions>, host: HostNetwork): string[] =>
      texts(plan(options, host).policy.ownAddresses).slice(0, -1);
    assert.deepEqual(own({}, NEITHER), ['10.0.2.2', 'fe80::1']);
    assert.deepEqual(own({}, { ipv4: IPV4, ipv6: undefined }), ['fe80::1']);
    assert.deepEqual(own({}, { ipv4: undefined, ipv6: IPV6 }), ['10.0.2.2']);
    assert.deepEqual(own({ gateways: [ip('10.7.7.1')] }, BOTH), ['10.7.7.1']);
    assert.deepEqual(own({}, { ipv4: family(3, '192.0.2.5/32', undefined), ipv6: IPV6 }), ['10.0.2.2']);
    // The guest is to have the address of the host's gateway.
    assert.deepEqual(own({ addresses: [prefix('192.0.2.1/24')] }, BOTH), ['10.0.2.2']);
  });

  it('are those that advertisements come from, where the gateway is global', () => {
    const host = { ipv4: undefined, ipv6: family(4, '2001:db8::5/64', '2001:db8::1') };
    const { policy, services } = plan({ families: '6' }, host);
    assert.equal(String(services.ipv6?.ourLinkLocal), 'fe80::1');
    assert.deepEqual(texts(policy.ownAddresses), ['fe80::1', 'fd74:6170:7374:6572::1']);
  });
});

describe('what services tell the guest', () => {
  it("is the host's network", () => {
    const { services } = plan();
    assert.deepEqual(services.ipv4?.address, prefix('192.0.2.5/24'));
    assert.equal(String(services.ipv4?.gateway), '192.0.2.1');
    assert.deepEqual(services.ipv6?.address, prefix('2001:db8::5/64'));
    assert.equal(String(services.ipv6?.ourLinkLocal), 'fe80::99');
    assert.equal(services.mtu, 65_520);
  });

  it('leaves a family out that the guest does not have', () => {
    assert.equal(plan({ families: '4' }).services.ipv6, undefined);
    assert.equal(plan({ families: '6' }).services.ipv4, undefined);
  });

  it('is a private network on a host that has none', () => {
    const { services, policy } = plan({}, NEITHER);
    assert.equal(String(services.ipv4?.address.address), '10.0.2.100');
    assert.equal(String(services.ipv6?.address.address), 'fd74:6170:7374:6572::100');
    assert.equal(policy.scopeId, 0);
  });

  it('has the routes besides the default one, of IPv4', () => {
    const routes = [
      { destination: prefix('10.1.0.0/16'), gateway: ip('192.0.2.9'), metric: 0 },
      { destination: prefix('10.2.0.0/16'), gateway: undefined, metric: 0 },
    ];
    const via6 = [{ destination: prefix('2001:db8:1::/48'), gateway: ip('fe80::7'), metric: 0 }];
    const { services } = plan({}, { ipv4: { ...IPV4, routes }, ipv6: { ...IPV6, routes: via6 } });
    assert.deepEqual(services.ipv4?.routes, [
      { destination: prefix('10.1.0.0/16'), gateway: ip('192.0.2.9') },
      { destination: prefix('10.2.0.0/16') },
    ]);
  });
});

describe('what policy is told of the network', () => {
  it('has the addresses of the guest, and of callers that have none of their own inside', () => {
    const { policy } = plan();
    assert.deepEqual(texts(policy.guestAddresses), ['192.0.2.5', '2001:db8::5']);
    assert.deepEqual(texts(policy.callerAddresses), ['192.0.2.1', 'fd74:6170:7374:6572::1']);
    assert.deepEqual(texts(plan({ families: '4' }).policy.callerAddresses), ['192.0.2.1']);
    assert.deepEqual(texts(plan({ families: '6' }).policy.callerAddresses), ['fd74:6170:7374:6572::1']);
  });

  it('has the interface for link-local addresses', () => {
    assert.equal(plan().policy.scopeId, 4);
    assert.equal(plan({}, { ipv4: IPV4, ipv6: undefined }).policy.scopeId, 3);
  });

  it('has what the user switched off', () => {
    const { tcp, udp, icmp, allowMetadata } = plan({ tcp: false, icmp: false, allowMetadata: true }).policy;
    assert.deepEqual({ tcp, udp, icmp, allowMetadata }, { tcp: false, udp: true, icmp: false, allowMetadata: true });
  });
});

describe("the guest's /etc/hosts", () => {
  const address = [ip('192.0.2.1')];

  it('is the host’s with our name behind', () => {
    const ours = '192.0.2.1 host.tapster.internal\n';
    assert.equal(guestHosts('127.0.0.1 localhost\n', address), `127.0.0.1 localhost\n${ours}`);
    assert.equal(guestHosts('127.0.0.1 localhost', address), `127.0.0.1 localhost\n${ours}`);
    assert.equal(guestHosts('', address), ours);
  });

  it('does not have the name of a session around this one', () => {
    const text = '# host.tapster.internal\n10.0.2.2\thost.tapster.internal\n::1 localhost # host.tapster.internal\n';
    assert.equal(
      guestHosts(text, address),
      '# host.tapster.internal\n::1 localhost # host.tapster.internal\n192.0.2.1 host.tapster.internal\n',
    );
  });
});
