import assert from 'node:assert/strict';
import { isIPv6 } from 'node:net';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import * as address from './address.ts';

const { IpAddress, MacAddress, parseIpAddress, parseIpPrefix } = address;

describe('IP address text', () => {
  it('reads and writes as RFC 5952 says', () => {
    const cases: Record<string, string> = {
      '::': '::',
      '::1': '::1',
      '0:0:0:0:0:0:0:0': '::',
      '2001:DB8::1': '2001:db8::1',
      '2001:0db8:0000:0000:0001:0000:0000:0001': '2001:db8::1:0:0:1',
      '2001:db8:0:1:1:1:1:1': '2001:db8:0:1:1:1:1:1',
      '1:0:0:2:0:0:0:3': '1:0:0:2::3',
      '1:2:3:4:5:6:7::': '1:2:3:4:5:6:7:0',
      '64:ff9b::192.0.2.33': '64:ff9b::c000:221',
      '::ffff:192.0.2.1': '192.0.2.1',
      '192.0.2.1': '192.0.2.1',
      '255.255.255.255': '255.255.255.255',
      '0.0.0.0': '0.0.0.0',
    };
    for (const [text, expected] of Object.entries(cases)) {
      assert.equal(String(parseIpAddress(text)), expected, text);
    }
  });

  it('refuses all else', () => {
    const refused = [
      '',
      '1.2.3',
      '1.2.3.4.5',
      '01.2.3.4',
      '1.2.3.256',
      '1.2.3.-4',
      ' 1.2.3.4',
      '1.2.3.4 ',
      '0x1.2.3.4',
    ];
    refused.push(':', ':1', '1:', ':::', '1::2::3', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '1:2:3:4:5:6:7:8::');
    refused.push('12345::', 'g::', 'fe80::1%eth0', '1.2.3.4::', '::1.2.3.4:5', '::1.2.3', '1:2:3:4:5:6:7:1.2.3.4');
    refused.push('localhost', '1'.repeat(100));
    for (const text of refused) assert.equal(parseIpAddress(text), undefined, text);
  });

  it('reads back every address that it writes', () => {
    const word = fc.oneof(fc.integer(), fc.constantFrom(0, 1, 0xffff, -0x1_0000));
    fc.assert(
      fc.property(word, word, word, word, (w0, w1, w2, w3) => {
        const value = new IpAddress(w0, w1, w2, w3);
        const text = address.formatIpAddress(value);
        assert.deepEqual(parseIpAddress(text), value);
        assert.equal(isIPv6(text), !address.isIpv4(value));
      }),
    );
  });

  it('never throws on any text, and accepts none that the system would not', () => {
    const piece = fc.constantFrom(':', '::', '.', '0', '1', 'ff', 'ffff', '255', '1.2.3.4', '%', '/', 'g');
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 16 }).map((pieces) => pieces.join('')),
        (text) => {
          const value = parseIpAddress(text);
          if (text.includes(':') && !text.includes('%')) assert.equal(value !== undefined, isIPv6(text), text);
        },
      ),
    );
  });
});

describe('IP address kinds', () => {
  it('tells them for both families', () => {
    const kinds = (text: string): string =>
      [
        address.isLoopback(ip(text)) ? 'loopback' : '',
        address.isMulticast(ip(text)) ? 'multicast' : '',
        address.isLinkLocal(ip(text)) ? 'link-local' : '',
        address.isUnspecified(ip(text)) ? 'unspecified' : '',
      ].join('');
    assert.equal(kinds('127.0.0.53'), 'loopback');
    assert.equal(kinds('::1'), 'loopback');
    assert.equal(kinds('224.0.0.1'), 'multicast');
    assert.equal(kinds('239.255.255.255'), 'multicast');
    assert.equal(kinds('ff02::1'), 'multicast');
    assert.equal(kinds('169.254.169.254'), 'link-local');
    assert.equal(kinds('fe80::1'), 'link-local');
    assert.equal(kinds('febf::1'), 'link-local');
    assert.equal(kinds('0.0.0.0'), 'unspecified');
    assert.equal(kinds('::'), 'unspecified');
    for (const text of ['10.0.0.1', '240.0.0.1', '128.0.0.1', '::2', 'fec0::1', '2001:db8::', 'fe00::1']) {
      assert.equal(kinds(text), '', text);
    }
  });

  it('compares all words', () => {
    assert.equal(address.equalAddress(ip('2001:db8::1'), ip('2001:DB8:0::1')), true);
    assert.equal(address.equalAddress(ip('2001:db8::1'), ip('2001:db8::2')), false);
    assert.equal(address.equalAddress(address.ipv4Address(0x7f000001), ip('127.0.0.1')), true);
    assert.equal(address.isIpv4Words(0, 0, 0xffff), true);
    assert.equal(address.isIpv4Words(0, 1, 0xffff), false);
  });
});

describe('IP prefixes', () => {
  it('reads and writes them, counted in the bits of the family', () => {
    for (const text of ['10.0.2.0/24', '0.0.0.0/0', '1.2.3.4/32', '2001:db8::/32', '::/0', '::1/128']) {
      assert.equal(address.formatIpPrefix(prefix(text)), text);
    }
    assert.equal(address.formatIpPrefix(prefix('::ffff:10.0.0.0/104')), '10.0.0.0/8');
    for (const text of [
      '10.0.0.0',
      '10.0.0.0/33',
      '::/129',
      '10.0.0.0/',
      '10.0.0.0/08',
      '/8',
      '::ffff:1.2.3.4/24',
      '::/1/2',
    ]) {
      assert.equal(parseIpPrefix(text), undefined, text);
    }
  });

  it('contains the addresses of its own family whose leading bits are the same', () => {
    const contains = (text: string, member: string): boolean => address.prefixContains(prefix(text), ip(member));
    assert.equal(contains('10.0.2.7/24', '10.0.2.255'), true);
    assert.equal(contains('10.0.2.7/24', '10.0.3.0'), false);
    assert.equal(contains('10.0.2.7/31', '10.0.2.6'), true);
    assert.equal(contains('0.0.0.0/0', '203.0.113.1'), true);
    assert.equal(contains('0.0.0.0/0', '::1'), false);
    assert.equal(contains('::/0', '10.0.0.1'), false);
    assert.equal(contains('2001:db8::/33', '2001:db8:7fff::'), true);
    assert.equal(contains('2001:db8::/33', '2001:db8:8000::'), false);
    assert.equal(contains('2001:db8::1/128', '2001:db8::1'), true);
    assert.equal(contains('2001:db8::1/128', '2001:db8::'), false);
  });

  it('has a first address, which it contains', () => {
    assert.equal(String(address.prefixNetwork(prefix('10.0.2.15/24'))), '10.0.2.0');
    assert.equal(String(address.prefixNetwork(prefix('2001:db8:ffff::1/33'))), '2001:db8:8000::');
    fc.assert(
      fc.property(fc.integer(), fc.integer(), fc.nat({ max: 128 }), (w0, w3, length) => {
        const value = { address: new IpAddress(w0, 1, 2, w3), length };
        assert.equal(address.prefixContains(value, address.prefixNetwork(value)), true);
      }),
    );
    assert.deepEqual([-1, 0, 1, 24, 32, 40].map(address.prefixMask), [0, 0, -0x8000_0000, -256, -1, -1]);
  });
});

describe('MAC addresses', () => {
  it('reads both ways of writing, and writes one', () => {
    assert.equal(String(address.parseMacAddress('02:00:00:FF:fe:01')), '02:00:00:ff:fe:01');
    assert.equal(String(address.parseMacAddress('ff-ff-ff-ff-ff-ff')), 'ff:ff:ff:ff:ff:ff');
    for (const text of [
      '',
      '02:00:00:00:00',
      '02:00:00:00:00:00:00',
      '02:00-00:00:00:00',
      '2:0:0:0:0:0',
      'gg:00:00:00:00:00',
    ]) {
      assert.equal(address.parseMacAddress(text), undefined, text);
    }
  });

  it('reads back every address that it writes', () => {
    fc.assert(
      fc.property(fc.nat({ max: 0xffff }), fc.integer(), (high, low) => {
        const mac = new MacAddress(high, low);
        assert.deepEqual(address.parseMacAddress(address.formatMacAddress(mac)), mac);
      }),
    );
  });
});

function ip(text: string): address.IpAddress {
  const value = parseIpAddress(text);
  assert.ok(value, text);
  return value;
}

function prefix(text: string): address.IpPrefix {
  const value = parseIpPrefix(text);
  assert.ok(value, text);
  return value;
}
