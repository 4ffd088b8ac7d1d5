import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { formatIpWords, type IpAddress, parseIpAddress, parseIpPrefix } from '../base/address.ts';
import { eventually } from '../base/eventually-fixture.test.ts';
import { FlowTable, SIDE, TARGET_WORDS } from '../flow/flow-table.ts';
import { VERDICT } from '../flow/policy.ts';
import type { Resolver } from '../flow/resolvers.ts';
import { InterfaceAddresses } from '../forward/interface-addresses.ts';
import { UplinkPolicy, type UplinkSettings } from './uplink-policy.ts';
import { followHostResolvers } from './uplink-resolvers.ts';

const ICMP = 1;
const TCP = 6;
const UDP = 17;
const RED = 2;
const BLUE = 5;
const VERDICTS = ['allow', 'refuse', 'local'];
const SETTINGS: UplinkSettings = { tcp: true, udp: true, icmp: true, allowMetadata: false };

function ip(text: string): IpAddress {
  const address = parseIpAddress(text);
  assert.ok(address, text);
  return address;
}

function addresses(): InterfaceAddresses {
  const table = new InterfaceAddresses();
  const list: [number, string][] = [
    [RED, '10.0.0.1/24'],
    [RED, 'fd00:a::1/64'],
    [RED, 'fe80::1/64'],
    [BLUE, '10.1.0.1/24'],
    [BLUE, 'fd00:b::1/64'],
    [BLUE, 'fe80::1/64'],
  ];
  for (const [on, text] of list) assert.ok(table.add(on, parseIpPrefix(text)!).ok, text);
  return table;
}

const HOST: Resolver[] = [
  { address: ip('127.0.0.53'), scopeId: 0 },
  { address: ip('fe80::53'), scopeId: 3 },
];

function policyOf(settings: Partial<UplinkSettings> = {}): UplinkPolicy {
  return new UplinkPolicy(addresses(), { ...SETTINGS, ...settings }, HOST, 7);
}

class Asked {
  readonly flows: FlowTable = new FlowTable(1, 1);
  readonly flow: number;
  readonly text: string;

  constructor(policy: UplinkPolicy, on: number, protocol: number, to: string, port: number) {
    const { w0, w1, w2, w3 } = ip(to);
    this.flows.setProbe(protocol, on, 0, 0, 0xffff, 0x0a000002, 4000, w0, w1, w2, w3, port);
    this.flow = this.flows.insert(SIDE.GUEST, 0);
    const verdict = policy.decide(this.flows, this.flow);
    const [t0, t1, t2, t3, targetPort, scope] = this.flows.targets.subarray(0, TARGET_WORDS);
    const target = `${formatIpWords(t0, t1, t2, t3)} ${targetPort} ${scope}`;
    this.text = verdict === VERDICT.ALLOW ? target : VERDICTS[verdict];
  }
}

function ask(policy: UplinkPolicy, on: number, to: string, protocol: number = TCP, port: number = 80): string {
  return new Asked(policy, on, protocol, to, port).text;
}

function map(policy: UplinkPolicy, caller: string, guest: string, on: number = RED): string {
  const { w0, w1, w2, w3 } = ip(caller);
  const to = ip(guest);
  const words = Int32Array.of(w0, w1, w2, w3, 5000, 3);
  policy.map(words, on, Int32Array.of(9, to.w0, to.w1, to.w2, to.w3), 1);
  assert.deepEqual([...words.subarray(4)], [5000, 3], 'port and scope are left');
  return formatIpWords(words[0], words[1], words[2], words[3]);
}

describe('the policy of the uplink', () => {
  it('lets guests go anywhere else, to link-local addresses by the host interface with the default route', () => {
    const policy = policyOf();
    for (const to of ['192.0.2.1', '2001:db8::1', '169.254.3.3']) assert.equal(ask(policy, RED, to), `${to} 80 0`);
    assert.equal(ask(policy, RED, 'fe80::99'), 'fe80::99 80 7');
    policy.setScopeId(8);
    assert.equal(ask(policy, RED, 'fe80::99'), 'fe80::99 80 8');
  });

  it("refuses the host's loopback by any spelling, groups, and the metadata of clouds", () => {
    const policy = policyOf();
    const never = ['127.0.0.1', '127.9.9.9', '0.0.0.0', '0.1.2.3', '::1', '::', '::127.0.0.1', '::ffff:127.0.0.1'];
    for (const to of [...never, '224.0.0.1', '255.255.255.255', 'ff02::1', '169.254.169.254', 'fd00:ec2::254']) {
      for (const protocol of [TCP, UDP, ICMP]) assert.equal(ask(policy, RED, to, protocol, 53), 'refuse', to);
    }
    const open = policyOf({ allowMetadata: true });
    assert.equal(ask(open, RED, '169.254.169.254'), '169.254.169.254 80 0');
    assert.equal(ask(open, RED, '127.0.0.1'), 'refuse');
  });

  it('refuses protocols that are switched off, and switches at run time', () => {
    const policy = policyOf({ tcp: false, icmp: false });
    assert.equal(ask(policy, RED, '192.0.2.1'), 'refuse');
    assert.equal(ask(policy, RED, '192.0.2.1', UDP), '192.0.2.1 80 0');
    assert.equal(ask(policy, RED, '192.0.2.1', ICMP), 'refuse');
    policy.configure({ ...SETTINGS, udp: false });
    assert.equal(ask(policy, RED, '192.0.2.1'), '192.0.2.1 80 0');
    assert.equal(ask(policy, RED, '192.0.2.1', UDP), 'refuse');
  });

  it('keeps our own addresses to ourselves, on whichever interface they are', () => {
    const policy = policyOf();
    for (const to of ['10.0.0.1', '10.1.0.1', 'fd00:a::1', 'fd00:b::1', 'fe80::1']) {
      for (const protocol of [TCP, UDP, ICMP]) assert.equal(ask(policy, RED, to, protocol, 53), 'local', to);
    }
  });

  it("leads to the host's loopback by our address on the interface that asks, or by one of its own", () => {
    const gateway = policyOf({ hostLoopback: 'gateway' });
    assert.equal(ask(gateway, RED, '10.0.0.1'), '127.0.0.1 80 0');
    assert.equal(ask(gateway, RED, 'fd00:a::1', UDP), '::1 80 0');
    assert.equal(ask(gateway, RED, '10.1.0.1'), 'local');
    assert.equal(ask(gateway, BLUE, '10.1.0.1'), '127.0.0.1 80 0');
    assert.equal(ask(gateway, RED, '10.0.0.1', ICMP), 'local');
    const own = policyOf({ hostLoopback: ip('192.0.2.77') });
    assert.equal(ask(own, BLUE, '192.0.2.77'), '127.0.0.1 80 0');
    assert.equal(ask(own, BLUE, '192.0.2.77', ICMP), 'local');
    assert.equal(ask(own, BLUE, '10.1.0.1'), 'local');
  });

  it('passes questions on by the servers of the interface that asks', () => {
    const policy = policyOf({ hostLoopback: 'gateway', udp: false });
    policy.setDns(RED, []);
    policy.setDns(BLUE, [ip('192.0.2.53'), ip('2001:db8::53')]);
    assert.equal(ask(policy, RED, '10.0.0.1', UDP, 53), '127.0.0.53 53 0');
    assert.equal(ask(policy, RED, 'fe80::1', TCP, 53), '127.0.0.53 53 0');
    assert.equal(ask(policy, BLUE, 'fd00:b::1', TCP, 53), '192.0.2.53 53 0');
    assert.equal(ask(policy, RED, '10.1.0.1', TCP, 53), 'local');
    assert.equal(ask(policy, RED, '10.0.0.1', TCP, 54), '127.0.0.1 54 0');
    policy.setDns(BLUE, undefined);
    policy.setDns(99, undefined);
    assert.equal(ask(policy, BLUE, '10.1.0.1', UDP, 53), 'refuse');
  });

  it('asks the next server when one did not answer, for that interface alone', () => {
    const policy = policyOf();
    policy.setDns(RED, []);
    policy.setDns(BLUE, []);
    const first = new Asked(policy, RED, UDP, '10.0.0.1', 53);
    policy.resolverUnanswered(first.flows, first.flow);
    policy.resolverUnanswered(first.flows, first.flow);
    assert.equal(ask(policy, RED, '10.0.0.1', UDP, 53), 'fe80::53 53 3');
    assert.equal(ask(policy, BLUE, '10.1.0.1', UDP, 53), '127.0.0.53 53 0');
    policy.setHostResolvers([{ address: ip('192.0.2.9'), scopeId: 0 }]);
    assert.equal(ask(policy, RED, '10.0.0.1', UDP, 53), '192.0.2.9 53 0');
    policy.setHostResolvers([]);
    assert.equal(ask(policy, RED, '10.0.0.1', UDP, 53), 'local');
  });

  it('shows callers under their own address, or under ours where that means something else inside', () => {
    const policy = policyOf();
    assert.equal(map(policy, '192.0.2.1', '10.0.0.2'), '192.0.2.1');
    assert.equal(map(policy, '2001:db8::1', 'fd00:a::2'), '2001:db8::1');
    for (const caller of ['127.0.0.1', '0.0.0.1', '169.254.1.1', '10.0.0.1', '10.1.0.1', '10.0.0.2', '10.0.0.77']) {
      assert.equal(map(policy, caller, '10.0.0.2'), '10.0.0.1', caller);
    }
    for (const caller of ['::1', 'fe80::9', 'fd00:a::1', 'fd00:b::1', 'fd00:a::2']) {
      assert.equal(map(policy, caller, 'fd00:a::2'), 'fd00:a::1', caller);
    }
    assert.equal(map(policy, '::1', 'fe80::2'), 'fe80::1');
    assert.equal(map(policy, '10.9.9.9', '10.9.9.9', BLUE), '10.1.0.1');
    assert.equal(map(policy, '127.0.0.1', '10.0.0.2', 77), '127.0.0.1');
  });
});

describe("the host's resolvers", () => {
  it('are followed', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tapster-resolvers-'));
    const path = join(folder, 'resolv.conf');
    const told: string[] = [];
    writeFileSync(path, 'nameserver 192.0.2.1\n');
    const setHostResolvers = (list: readonly Resolver[]): void => {
      told.push(list.map(({ address }) => `${address}`).join());
    };
    const follower = followHostResolvers({ setHostResolvers }, path);
    writeFileSync(path, 'nameserver 192.0.2.2\n');
    await eventually('the change is told', () => told.length >= 2);
    follower.close();
    rmSync(folder, { recursive: true });
    assert.deepEqual(told, ['192.0.2.1', '192.0.2.2']);
  });
});
