import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatIpWords, IpAddress, parseIpAddress } from '../base/address.ts';
import { FlowTable, SIDE, TARGET_WORDS } from './flow-table.ts';
import { HostPolicy, type HostPolicyConfig } from './host-policy.ts';
import { VERDICT } from './policy.ts';

const ICMP = 1;
const TCP = 6;
const UDP = 17;
const ICMPV6 = 58;

const CONFIG: HostPolicyConfig = {
  tcp: true,
  udp: true,
  icmp: true,
  allowMetadata: false,
  dnsAddresses: [ip('169.254.1.53'), ip('fd74:6170:7374:6572::53')],
  namedServers: [],
  resolvers: [{ address: ip('127.0.0.53'), scopeId: 0 }],
  loopbackAddresses: [],
  ownAddresses: [ip('10.0.2.2'), ip('fd74:6170:7374:6572::1')],
  guestAddresses: [ip('10.0.2.100'), ip('2001:db8::100')],
  callerAddresses: [ip('10.0.2.2'), ip('fd74:6170:7374:6572::1')],
  scopeId: 7,
};

function ip(text: string): IpAddress {
  const address = parseIpAddress(text);
  assert.ok(address, text);
  return address;
}

interface Decision {
  verdict: number;
  /** `address port scope`. */
  target: string;
}

function decide(policy: HostPolicy, protocol: number, to: IpAddress, port: number): Decision {
  const flows = new FlowTable(1, 1);
  flows.setProbe(protocol, 0, 0, 0, 0xffff, 0x0a000264, 4000, to.w0, to.w1, to.w2, to.w3, port);
  const flow = flows.insert(SIDE.GUEST, 0);
  const verdict = policy.decide(flows, flow);
  const [w0, w1, w2, w3, targetPort, scope] = flows.targets.subarray(flow * TARGET_WORDS, (flow + 1) * TARGET_WORDS);
  return { verdict, target: `${formatIpWords(w0, w1, w2, w3)} ${targetPort} ${scope}` };
}

function verdict(config: Partial<HostPolicyConfig>, to: string, protocol: number = TCP, port: number = 80): number {
  return decide(new HostPolicy({ ...CONFIG, ...config }), protocol, ip(to), port).verdict;
}

function map(config: Partial<HostPolicyConfig>, caller: string): string {
  const { w0, w1, w2, w3 } = ip(caller);
  const words = Int32Array.of(w0, w1, w2, w3, 5000, 3);
  new HostPolicy({ ...CONFIG, ...config }).map(words);
  assert.deepEqual([...words.subarray(4)], [5000, 3], 'port and scope are left');
  return formatIpWords(words[0], words[1], words[2], words[3]);
}

describe('where a guest may go', () => {
  it('lets it go anywhere else, unchanged', () => {
    for (const to of ['192.0.2.1', '2001:db8::1', '10.255.255.255', '172.17.0.1', 'fd00::1', '169.254.3.3']) {
      const port = 80;
      assert.deepEqual(
        decide(new HostPolicy(CONFIG), TCP, ip(to), port),
        { verdict: VERDICT.ALLOW, target: `${ip(to)} 80 0` },
        to,
      );
    }
  });

  it("refuses the host's loopback however it is spelt, for every protocol", () => {
    const spellings = ['127.0.0.1', '127.255.255.255', '::ffff:127.0.0.1', '0.0.0.0', '0.1.2.3', '::ffff:0.0.0.0'];
    for (const to of [...spellings, '::1', '::', '::127.0.0.1', '::2', '::0.0.0.0', '::192.0.2.1']) {
      for (const protocol of [TCP, UDP, ICMP, ICMPV6]) assert.equal(verdict({}, to, protocol), VERDICT.REFUSE, to);
      assert.equal(verdict({}, to, UDP, 53), VERDICT.REFUSE, `${to} port 53`);
      assert.equal(verdict({ allowMetadata: true, loopbackAddresses: [ip('10.0.2.2')] }, to), VERDICT.REFUSE, to);
    }
  });

  it('refuses groups, should one get here', () => {
    for (const to of ['224.0.0.1', '239.1.2.3', '255.255.255.255', 'ff02::1', 'ff0e::1']) {
      assert.equal(verdict({}, to, UDP), VERDICT.REFUSE, to);
    }
  });

  it('never targets the loopback unless an address is mapped to it', () => {
    const word = fc.oneof(fc.constantFrom(0, 1, 0xffff, 0x7f000001, -1), fc.integer());
    const policy = new HostPolicy({ ...CONFIG, dnsAddresses: [] });
    const protocol = fc.constantFrom(TCP, UDP, ICMP, ICMPV6);
    fc.assert(
      fc.property(word, word, word, word, protocol, fc.nat(65_535), (w0, w1, w2, w3, kind, port) => {
        const to = new IpAddress(w0, w1, w2, w3);
        const decision = decide(policy, kind, to, port);
        if (decision.verdict !== VERDICT.ALLOW) return;
        assert.ok(!/^(127|0)\.|^::(\d|[0-9a-f]{1,4}(:[0-9a-f]{1,4})?)? /.test(decision.target), decision.target);
      }),
    );
  });

  it('switches protocols off one by one', () => {
    const allowed = (config: Partial<HostPolicyConfig>): boolean[] =>
      [TCP, UDP, ICMP, ICMPV6].map((protocol) => verdict(config, '192.0.2.1', protocol) === VERDICT.ALLOW);
    assert.deepEqual(allowed({ tcp: false }), [false, true, true, true]);
    assert.deepEqual(allowed({ udp: false }), [true, false, true, true]);
    assert.deepEqual(allowed({ icmp: false }), [true, true, false, false]);
    assert.equal(verdict({ udp: false }, '169.254.1.53', UDP, 54), VERDICT.REFUSE);
    assert.equal(verdict({ icmp: false }, '10.0.2.2', ICMP), VERDICT.REFUSE);
  });

  it('forwards DNS also where its protocol is switched off', () => {
    assert.equal(verdict({ udp: false }, '169.254.1.53', UDP, 53), VERDICT.ALLOW);
    assert.equal(verdict({ tcp: false }, '169.254.1.53', TCP, 53), VERDICT.ALLOW);
  });

  it("gives link-local IPv6 addresses, and no others, the host's interface as scope", () => {
    const target = (to: string): string => decide(new HostPolicy(CONFIG), UDP, ip(to), 9).target;
    assert.equal(target('fe80::9'), 'fe80::9 9 7');
    assert.equal(target('febf::9'), 'febf::9 9 7');
    assert.equal(target('fec0::9'), 'fec0::9 9 0');
    assert.equal(target('169.254.3.3'), '169.254.3.3 9 0');
  });

  it('keeps addresses of ours for itself', () => {
    for (const protocol of [TCP, UDP, ICMP]) assert.equal(verdict({}, '10.0.2.2', protocol), VERDICT.LOCAL);
    assert.equal(verdict({}, 'fd74:6170:7374:6572::1', ICMPV6), VERDICT.LOCAL);
  });
});

describe('the DNS address', () => {
  it("leads questions to the host's resolver, of whatever family that is", () => {
    const policy = new HostPolicy({ ...CONFIG, resolvers: [{ address: ip('fe80::53'), scopeId: 3 }] });
    const expected = { verdict: VERDICT.ALLOW, target: 'fe80::53 53 3' };
    assert.deepEqual(decide(policy, UDP, ip('169.254.1.53'), 53), expected);
    assert.deepEqual(decide(policy, TCP, ip('169.254.1.53'), 53), expected);
    assert.deepEqual(decide(policy, UDP, ip('fd74:6170:7374:6572::53'), 53), expected);
    assert.equal(decide(new HostPolicy(CONFIG), UDP, ip('169.254.1.53'), 53).target, '127.0.0.53 53 0');
  });

  it('has nothing behind its other ports, and answers pings', () => {
    for (const port of [0, 22, 52, 54, 853, 65_535])
      assert.equal(verdict({}, '169.254.1.53', TCP, port), VERDICT.LOCAL);
    assert.equal(verdict({}, '169.254.1.53', UDP, 5353), VERDICT.LOCAL);
    assert.equal(verdict({}, '169.254.1.53', ICMP, 53), VERDICT.LOCAL);
  });

  it('has the resolver behind port 853 too, where that is wanted', () => {
    const policy = new HostPolicy({ ...CONFIG, dnsTls: true });
    for (const protocol of [TCP, UDP]) {
      const decided = decide(policy, protocol, ip('169.254.1.53'), 853);
      assert.deepEqual(decided, { verdict: VERDICT.ALLOW, target: '127.0.0.53 853 0' });
    }
  });

  it('refuses questions when the host has no resolver', () => {
    assert.equal(verdict({ resolvers: [] }, '169.254.1.53', UDP, 53), VERDICT.LOCAL);
  });

  it('goes on to the next resolver when the present one does not answer, and starts anew with a new configuration', () => {
    const resolvers = ['192.0.2.1', '192.0.2.2'].map((text) => ({ address: ip(text), scopeId: 0 }));
    const policy = new HostPolicy({ ...CONFIG, resolvers });
    const flows = new FlowTable(8, 1);
    let port = 1000;
    const ask = (): number => {
      flows.setProbe(UDP, 0, 0, 0, 0xffff, 1, port++, 0, 0, 0xffff, 0xa9fe0135 | 0, 53);
      const flow = flows.insert(SIDE.GUEST, 0);
      policy.decide(flows, flow);
      return flow;
    };
    const asked = (flow: number): number => flows.targets[flow * TARGET_WORDS + 3] & 0xff;
    const first = ask();
    assert.equal(asked(first), 1);
    policy.resolverUnanswered(flows, first);
    const second = ask();
    assert.equal(asked(second), 2);
    // An older failure says nothing about the one that is asked now.
    policy.resolverUnanswered(flows, first);
    assert.equal(asked(ask()), 2);
    policy.resolverUnanswered(flows, second);
    assert.equal(asked(ask()), 1);
    policy.resolverUnanswered(flows, first);
    policy.configure(policy.config);
    assert.equal(asked(ask()), 1);
  });

  it('may lead to the loopback by its other ports', () => {
    const policy = new HostPolicy({ ...CONFIG, loopbackAddresses: [ip('169.254.1.53')] });
    assert.equal(decide(policy, TCP, ip('169.254.1.53'), 53).target, '127.0.0.53 53 0');
    assert.equal(decide(policy, TCP, ip('169.254.1.53'), 80).target, '127.0.0.1 80 0');
  });
});

describe('an address for what the host has like the guest', () => {
  const own = [ip('10.0.2.100'), ip('fd00::100')];
  const policy = new HostPolicy({
    ...CONFIG,
    guestAddresses: own,
    sharedAddresses: [ip('169.254.1.2'), ip('fd99::2')],
  });

  it('leads to the address of its family that both have, with the same port', () => {
    assert.deepEqual(decide(policy, TCP, ip('169.254.1.2'), 80), { verdict: VERDICT.ALLOW, target: '10.0.2.100 80 0' });
    assert.deepEqual(decide(policy, UDP, ip('fd99::2'), 53), { verdict: VERDICT.ALLOW, target: 'fd00::100 53 0' });
  });

  it('answers pings itself, and leads nowhere where the guest has no address of the family', () => {
    assert.equal(decide(policy, ICMP, ip('169.254.1.2'), 0).verdict, VERDICT.LOCAL);
    const without = new HostPolicy({ ...CONFIG, guestAddresses: [], sharedAddresses: [ip('169.254.1.2')] });
    assert.equal(decide(without, TCP, ip('169.254.1.2'), 80).verdict, VERDICT.LOCAL);
  });
});

describe('an address for the host', () => {
  const mapped = { loopbackAddresses: [ip('10.0.2.2'), ip('fd74:6170:7374:6572::1')] };
  const policy = new HostPolicy({ ...CONFIG, ...mapped });

  it('leads to the loopback of its family, with the same port', () => {
    assert.deepEqual(decide(policy, TCP, ip('10.0.2.2'), 80), { verdict: VERDICT.ALLOW, target: '127.0.0.1 80 0' });
    const { target } = decide(policy, UDP, ip('fd74:6170:7374:6572::1'), 53);
    assert.equal(target, '::1 53 0');
  });

  it('answers pings itself', () => {
    assert.equal(decide(policy, ICMP, ip('10.0.2.2'), 0).verdict, VERDICT.LOCAL);
    assert.equal(decide(policy, ICMPV6, ip('fd74:6170:7374:6572::1'), 0).verdict, VERDICT.LOCAL);
  });

  it('does not take the scope of a link-local address along', () => {
    const linkLocal = new HostPolicy({ ...CONFIG, loopbackAddresses: [ip('fe80::1')] });
    assert.equal(decide(linkLocal, TCP, ip('fe80::1'), 80).target, '::1 80 0');
  });
});

describe('metadata addresses', () => {
  const both = ['169.254.169.254', 'fd00:ec2::254'];

  it('are refused unless allowed', () => {
    for (const to of both) {
      for (const protocol of [TCP, UDP, ICMP, ICMPV6]) assert.equal(verdict({}, to, protocol), VERDICT.REFUSE, to);
      assert.equal(verdict({ allowMetadata: true }, to), VERDICT.ALLOW, to);
    }
    assert.equal(verdict({}, '::ffff:169.254.169.254'), VERDICT.REFUSE);
    assert.equal(verdict({}, '169.254.169.253'), VERDICT.ALLOW);
  });

  it("answer DNS where they are the host's resolver, or were named as the guest's, and nothing else", () => {
    const asResolver = new HostPolicy({ ...CONFIG, resolvers: [{ address: ip('169.254.169.254'), scopeId: 0 }] });
    assert.equal(decide(asResolver, UDP, ip('169.254.1.53'), 53).verdict, VERDICT.ALLOW);
    assert.equal(decide(asResolver, TCP, ip('169.254.169.254'), 80).verdict, VERDICT.REFUSE);
    const named = { dnsAddresses: [], namedServers: [ip('169.254.169.254')] };
    assert.equal(verdict(named, '169.254.169.254', UDP, 53), VERDICT.ALLOW);
    assert.equal(verdict(named, '169.254.169.254', TCP, 53), VERDICT.ALLOW);
    assert.equal(verdict(named, '169.254.169.254', TCP, 80), VERDICT.REFUSE);
    assert.equal(verdict(named, '169.254.169.254', ICMP, 53), VERDICT.REFUSE);
  });

  it('are what they were made where they are the gateway or stand for the loopback', () => {
    const own = { ownAddresses: [ip('169.254.169.254')] };
    assert.equal(verdict(own, '169.254.169.254'), VERDICT.LOCAL);
    const policy = new HostPolicy({ ...CONFIG, loopbackAddresses: [ip('169.254.169.254')] });
    assert.equal(decide(policy, TCP, ip('169.254.169.254'), 80).target, '127.0.0.1 80 0');
  });
});

describe('callers of published ports', () => {
  it('are shown as they are where that means the same inside', () => {
    for (const caller of ['192.0.2.7', '2001:db8::7', '169.254.9.9']) assert.equal(map({}, caller), caller);
  });

  it("appear under an address of ours where they come from the host's loopback, the guest's own address, or a link", () => {
    for (const caller of ['127.0.0.1', '127.9.9.9', '0.0.0.0', '10.0.2.100']) assert.equal(map({}, caller), '10.0.2.2');
    for (const caller of ['::1', '2001:db8::100', 'fe80::7']) {
      assert.equal(map({}, caller), 'fd74:6170:7374:6572::1', caller);
    }
  });

  it('stay as they are where there is no address of ours in their family', () => {
    assert.equal(map({ callerAddresses: [ip('10.0.2.2')] }, '::1'), '::1');
    assert.equal(map({ callerAddresses: [] }, '127.0.0.1'), '127.0.0.1');
  });
});
