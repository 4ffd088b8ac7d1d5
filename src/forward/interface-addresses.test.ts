import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  formatIpAddress,
  formatIpPrefix,
  formatIpWords,
  type IpAddress,
  type IpPrefix,
  isIpv4,
  parseIpAddress,
  parseIpPrefix,
  prefixContains,
} from '../base/address.ts';
import { InterfaceAddresses } from './interface-addresses.ts';

function prefix(text: string): IpPrefix {
  const parsed = parseIpPrefix(text);
  assert.ok(parsed, text);
  return parsed;
}

function ip(text: string): IpAddress {
  const parsed = parseIpAddress(text);
  assert.ok(parsed, text);
  return parsed;
}

type Words = [number, number, number, number];

function words(text: string): Words {
  const { w0, w1, w2, w3 } = ip(text);
  return [w0, w1, w2, w3];
}

/** Interface by interface. */
function addressesOf(...lists: string[][]): InterfaceAddresses {
  const addresses = new InterfaceAddresses();
  lists.forEach((list, at) => {
    for (const each of list) assert.deepEqual(addresses.add(at, prefix(each)), { ok: true, value: undefined }, each);
  });
  return addresses;
}

function sourceOn(addresses: InterfaceAddresses, on: number, towards: string): string {
  const to = ip(towards);
  if (isIpv4(to)) return formatIpWords(0, 0, 0xffff, addresses.ipv4On(on, to.w3));
  const out = new Int32Array(4);
  return addresses.ipv6On(on, ...words(towards), out) ? formatIpWords(out[0], out[1], out[2], out[3]) : 'none';
}

function codeOf(addresses: InterfaceAddresses, on: number, text: string): string {
  const added = addresses.add(on, prefix(text));
  return added.ok ? 'ok' : added.failure.code;
}

describe('the addresses of interfaces', () => {
  it('are ours everywhere, but link-local ones on their own link only', () => {
    const addresses = addressesOf(
      ['10.0.0.1/24', 'fd00::1/64', 'fe80::1/64'],
      ['10.1.0.1/24', 'fe80::1/64', 'fe80::2/64'],
    );
    for (const text of ['10.0.0.1', '10.1.0.1', 'fd00::1', 'fe80::1']) {
      assert.ok(addresses.isOurs(0, ...words(text)) && addresses.isOurs(1, ...words(text)), text);
    }
    assert.deepEqual(
      [0, 1].map((on) => addresses.isOurs(on, ...words('fe80::2'))),
      [false, true],
    );
    assert.deepEqual(
      [0, 1, 2].map((on) => addresses.isOn(on, ...words('10.1.0.1'))),
      [false, true, false],
    );
    assert.equal(addresses.isOurIpv4(5, ip('10.0.0.1').w3), true);
    assert.equal(addresses.isOurIpv4(5, ip('10.0.0.2').w3), false);
  });

  it('say what is on a link: what a prefix covers, and everything link-local where IPv6 is', () => {
    const addresses = addressesOf(['10.0.0.1/24', 'fd00::1/64'], ['10.1.0.1/16']);
    const on = (index: number, text: string): boolean => addresses.isOnLink(index, ...words(text));
    assert.deepEqual(
      ['10.0.0.200', 'fd00::5', 'fe80::99'].map((text) => on(0, text)),
      [true, true, true],
    );
    assert.deepEqual(
      ['10.0.1.1', 'fd00:0:0:1::5', '169.254.1.1', '::'].map((text) => on(0, text)),
      [false, false, false, false],
    );
    assert.deepEqual(
      ['10.1.255.1', 'fe80::99'].map((text) => on(1, text)),
      [true, false],
    );
    assert.equal(on(2, '10.0.0.1'), false);
  });

  it('know the broadcast addresses of their networks, and that a /31 has none', () => {
    const addresses = addressesOf(['10.0.0.1/24', '10.9.0.0/31', '10.8.0.1/32']);
    const on = (text: string): boolean => addresses.isBroadcastOn(0, ip(text).w3);
    assert.deepEqual(['10.0.0.255', '10.0.0.0'].map(on), [true, true]);
    assert.deepEqual(['10.0.0.1', '10.0.1.255', '10.9.0.0', '10.9.0.1', '10.8.0.1'].map(on), [
      false,
      false,
      false,
      false,
      false,
    ]);
    assert.equal(addresses.isBroadcastOn(1, ip('10.0.0.255').w3), false);
  });

  it('choose the address to speak from: same network, longest prefix, primary', () => {
    const addresses = addressesOf(
      ['10.0.0.1/8', '10.1.0.1/16', '192.0.2.1/24', 'fe80::1/64', 'fd00::1/64', 'fd01::1/64'],
      ['fe80::2/64'],
      ['fd02::1/64'],
    );
    assert.equal(sourceOn(addresses, 0, '10.1.2.3'), '10.1.0.1');
    assert.equal(sourceOn(addresses, 0, '10.2.2.3'), '10.0.0.1');
    assert.equal(sourceOn(addresses, 0, '203.0.113.1'), '10.0.0.1');
    assert.equal(sourceOn(addresses, 0, 'fd01::77'), 'fd01::1');
    assert.equal(sourceOn(addresses, 0, '2001:db8::1'), 'fd00::1');
    assert.equal(sourceOn(addresses, 0, 'fe80::77'), 'fe80::1');
    assert.equal(sourceOn(addresses, 1, '2001:db8::1'), 'fe80::2');
    assert.equal(sourceOn(addresses, 2, 'fe80::77'), 'none');
    assert.equal(sourceOn(addresses, 1, '10.0.0.5'), '0.0.0.0');
  });

  it('refuse what no host can have, what is taken, and what is too much', () => {
    const addresses = new InterfaceAddresses(3, 4);
    for (const text of [
      '0.0.0.0/0',
      '224.0.0.1/24',
      '127.0.0.1/8',
      '240.0.0.1/8',
      '10.0.0.0/24',
      '10.0.0.255/24',
      '::/64',
      '::1/128',
      'ff02::1/64',
    ]) {
      assert.equal(codeOf(addresses, 0, text), 'address-invalid', text);
    }
    assert.equal(codeOf(addresses, 0, '10.0.0.1/24'), 'ok');
    assert.equal(codeOf(addresses, 0, '10.0.0.1/25'), 'address-exists');
    assert.equal(codeOf(addresses, 1, '10.0.0.1/24'), 'address-exists');
    assert.equal(codeOf(addresses, 0, '10.0.0.2/24'), 'ok');
    assert.equal(codeOf(addresses, 0, '10.0.0.3/24'), 'ok');
    assert.equal(codeOf(addresses, 0, '10.0.0.4/24'), 'addresses-full');
    assert.equal(codeOf(addresses, 1, '10.0.0.5/24'), 'ok');
    assert.equal(codeOf(addresses, 1, '10.0.0.6/24'), 'addresses-full');
  });

  it('are what was added and not removed, on any interface, in order', () => {
    const candidates = [
      '10.0.0.1/24',
      '10.0.0.2/24',
      '10.1.0.1/16',
      'fd00::1/64',
      'fd00::2/128',
      'fe80::1/64',
      '169.254.0.5/16',
    ];
    const step = fc.record({
      on: fc.integer({ min: 0, max: 20 }),
      text: fc.constantFrom(...candidates),
      what: fc.constantFrom('add', 'add', 'remove', 'flush'),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const addresses = new InterfaceAddresses();
        const model = new Map<number, string[]>();
        for (const { on, text, what } of steps) {
          const list = model.get(on) ?? [];
          if (what === 'add') {
            if (addresses.add(on, prefix(text)).ok) model.set(on, [...list, text]);
          } else if (what === 'remove') {
            assert.equal(addresses.remove(on, prefix(text).address), list.includes(text));
            model.set(
              on,
              list.filter((each) => each !== text),
            );
          } else {
            addresses.flush(on);
            model.delete(on);
          }
          const expected = model.get(on) ?? [];
          assert.deepEqual(addresses.list(on).map(formatIpPrefix), expected);
          for (const each of candidates) {
            const { address } = prefix(each);
            const host = words(formatIpAddress(address));
            const isLinkLocal = each.startsWith('fe80') || each.startsWith('169.254');
            const everywhere = [...model.values()].some((others) => others.includes(each));
            assert.equal(addresses.isOn(on, ...host), expected.includes(each));
            assert.equal(addresses.isOurs(on, ...host), isLinkLocal ? expected.includes(each) : everywhere);
            const covered = expected.some((other) => prefixContains(prefix(other), address));
            const linkLocal = each.startsWith('fe80') && expected.some((other) => other.includes(':'));
            assert.equal(addresses.isOnLink(on, ...host), covered || linkLocal);
          }
        }
      }),
      { numRuns: 60 },
    );
  });
});
