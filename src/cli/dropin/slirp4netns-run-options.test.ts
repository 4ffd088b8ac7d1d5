import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatIpPrefix, formatMacAddress } from '../../base/address.ts';
import type { JoinOptions } from '../../engine/join-session.ts';
import { readSlirp4netnsCommandLine } from './slirp4netns-options.ts';
import { toSlirpJoinOptions } from './slirp4netns-run-options.ts';

function join(words: string): JoinOptions {
  const line = readSlirp4netnsCommandLine(words.split(' '), '0');
  assert.ok(line.kind === 'run', words);
  return toSlirpJoinOptions(line.options);
}

function texts(values: readonly unknown[]): string {
  return values.map(String).join(' ');
}

describe('the network of slirp4netns', () => {
  it('is its plan, with the gateway as the host and the name server behind it', () => {
    const { addresses, gateways, details, families } = join('-c 42 tap0');
    assert.ok(details);
    assert.deepEqual([addresses.map(formatIpPrefix), texts(gateways), families], [['10.0.2.100/24'], '10.0.2.2', '4']);
    assert.deepEqual(
      [texts(details.dnsAddresses), texts(details.toldDns as readonly unknown[])],
      ['10.0.2.3', '10.0.2.3'],
    );
    assert.equal(texts(details.loopbackAddresses as readonly unknown[]), '10.0.2.2');
    assert.equal(formatMacAddress(details.ourMac), '52:55:0a:00:02:02');
    assert.deepEqual([details.dhcp, details.ra, details.ndp], [true, false, false]);
  });

  it('has IPv6, another network, and less where that is asked for', () => {
    const { addresses, gateways, details } = join(
      '-c --cidr 10.7.0.0/16 -6 --disable-dns --disable-host-loopback 42 tap0',
    );
    assert.ok(details);
    assert.deepEqual(addresses.map(formatIpPrefix), ['10.7.0.100/16', 'fd00::100/64']);
    assert.equal(texts(gateways), '10.7.0.2 fd00::2');
    assert.deepEqual([details.dnsAddresses, details.toldDns, details.loopbackAddresses], [[], [], []]);
  });

  it('is left to a DHCP client without -c', () => {
    const { addresses, configure } = join('42 tap0');
    assert.deepEqual([addresses.map(formatIpPrefix), configure], [['10.0.2.15/24'], false]);
  });
});

describe('a session of slirp4netns', () => {
  it('is found by process or by path, and ends by a descriptor', () => {
    const byProcess = join('-e 5 42 tap0');
    assert.deepEqual([byProcess.networkNamespace, byProcess.endDescriptor], ['pid:42', 5]);
    const byPath = join('--netns-type=path --userns-path /u /run/netns/a tap0');
    assert.deepEqual([byPath.networkNamespace, byPath.userNamespacePath], ['/run/netns/a', '/u']);
    assert.ok(join('--netns-type=path netns tap0').networkNamespace.startsWith('/'), 'a path may be a relative one');
  });

  it('forwards by its socket alone, and nothing without', () => {
    assert.equal(join('42 tap0').forwards, undefined);
    assert.deepEqual(join('-a /a 42 tap0').forwards?.tcpIn, { rules: [], auto: [] });
    assert.equal(join('-a /a 42 tap0').forwards?.splice, false);
  });

  it('leaves by the addresses and interfaces that are named', () => {
    const { outbound } = join('--outbound-addr 192.0.2.1 --outbound-addr6 eth1 42 tap0').details ?? {};
    assert.ok(outbound);
    const { addresses, ipv4Interface, ipv6Interface } = outbound;
    assert.deepEqual([texts(addresses), ipv4Interface, ipv6Interface], ['192.0.2.1', undefined, 'eth1']);
  });
});
