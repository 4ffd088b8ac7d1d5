import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatIpAddress, formatIpPrefix, formatMacAddress } from '../../base/address.ts';
import { parseDnsAddress, parseGateway, parseHostLoopback, parseInterfaceAddress } from './address.ts';
import { parseCapturePath, parseFilePath } from './file-path.ts';
import { parseInterfaceName } from './interface-name.ts';
import { parseMac } from './mac.ts';
import { parseMaxFlows, parseMtu } from './number.ts';
import type { Parsed } from './parsed.ts';
import { parsePublish } from './publish.ts';

function accepts<T>(parse: (text: string) => Parsed<T>, texts: readonly string[], show: (value: T) => string): void {
  for (const text of texts) {
    const result = parse(text);
    assert.ok(result.ok, `${text}: ${result.ok ? '' : result.wrong}`);
    assert.equal(show(result.value), text);
  }
}

function refuses<T>(parse: (text: string) => Parsed<T>, samples: readonly (readonly [string, RegExp])[]): void {
  for (const [text, reason] of samples) {
    const result = parse(text);
    assert.ok(!result.ok, `${JSON.stringify(text)} was taken`);
    assert.match(result.wrong, reason, text);
    assert.match(result.right, /^[A-Z].*[.)"]$/, 'the second line is a sentence');
  }
}

describe('parseInterfaceAddress', () => {
  it('takes addresses with their prefix length', () => {
    accepts(
      parseInterfaceAddress,
      ['192.0.2.15/24', '10.0.0.0/31', '10.0.0.1/32', '2001:db8::/64', 'fe80::1/64'],
      formatIpPrefix,
    );
  });

  it('refuses what no interface can have', () => {
    refuses(parseInterfaceAddress, [
      ['192.0.2.15', /no prefix length/],
      ['192.0.2.15/33', /"33" is not a prefix length/],
      ['192.0.2.15/', /"" is not a prefix length/],
      ['192.0.2.15/024', /"024"/],
      ['192.0.2/24', /not an address/],
      ['eth0', /not an address/],
      ['192.0.2.15/0', /default route/],
      ['192.0.2.0/24', /network's own/],
      ['192.0.2.255/24', /broadcast/],
      ['255.255.255.255/32', /broadcast/],
      ['127.0.0.1/8', /loopback/],
      ['224.0.0.1/4', /multicast/],
      ['::/64', /unspecified/],
    ]);
  });
});

describe('parseGateway, parseDnsAddress, parseHostLoopback', () => {
  it('take addresses', () => {
    accepts(parseGateway, ['192.0.2.1', 'fe80::1'], formatIpAddress);
    accepts(parseDnsAddress, ['9.9.9.9', '127.0.0.53', '::1'], formatIpAddress);
    accepts(parseHostLoopback, ['gateway', '192.0.2.1'], (value) => String(value));
  });

  it('refuse what can not be meant', () => {
    refuses(parseGateway, [
      ['fe80::1%eth0', /no zone/],
      ['[::1]', /without brackets/],
      ['127.0.0.1', /loopback/],
      ['', /not an address/],
    ]);
    refuses(parseDnsAddress, [
      ['0.0.0.0', /no unicast/],
      ['ff02::1', /no unicast/],
    ]);
    refuses(parseHostLoopback, [
      ['::1', /loopback/],
      ['gate', /not an address/],
    ]);
  });
});

describe('parsePublish', () => {
  const show = (text: string): string => {
    const result = parsePublish(text);
    assert.ok(result.ok, result.ok ? '' : `${text}: ${result.wrong}`);
    const { address, firstPort, lastPort, protocol, toPort } = result.value;
    return `${address ?? '*'} ${firstPort}-${lastPort} > ${toPort ?? 'same'} ${protocol}`;
  };

  it('takes every form', () => {
    const samples: [string, string][] = [
      ['8080', '* 8080-8080 > same tcp'],
      ['8080:80', '* 8080-8080 > 80 tcp'],
      ['8080:80/udp', '* 8080-8080 > 80 udp'],
      ['9000-9009', '* 9000-9009 > same tcp'],
      ['9000-9009:7000', '* 9000-9009 > 7000 tcp'],
      ['127.0.0.1:8080', '127.0.0.1 8080-8080 > same tcp'],
      ['127.0.0.1:8080:80/tcp', '127.0.0.1 8080-8080 > 80 tcp'],
      ['[::1]:8080:80', '::1 8080-8080 > 80 tcp'],
      ['[::]:53:5353/udp', ':: 53-53 > 5353 udp'],
      ['0.0.0.0:1', '0.0.0.0 1-1 > same tcp'],
      ['0', '* 0-0 > same tcp'],
      ['0:80', '* 0-0 > 80 tcp'],
      ['65535:65535', '* 65535-65535 > 65535 tcp'],
    ];
    for (const [text, meaning] of samples) assert.equal(show(text), meaning);
  });

  it('says what is wrong with all others', () => {
    refuses(parsePublish, [
      ['', /port is missing/],
      ['http', /"http" is not a port/],
      ['080', /"080" is not a port/],
      ['+80', /not a port/],
      ['65536', /above 65535/],
      ['80:', /port is missing/],
      [':80', /port is missing/],
      ['80:0', /port 0 inside/],
      ['80/sctp', /"sctp" is neither/],
      ['80/', /"" is neither/],
      ['90-80', /backwards/],
      ['0-80', /can't contain port 0/],
      ['1-65535', /65535 ports in one rule/],
      ['9000-9009:65530', /beyond 65535/],
      ['1:2:3', /"1:2:3"|parts/],
      ['1:2:3:4', /brackets|parts/],
      ['::1:8080', /brackets/],
      ['[::1]', /port is missing behind/],
      ['[::1:80', /never closed/],
      ['[::g]:80', /"::g" is not an address/],
      ['127.0.0.1', /port is missing behind/],
      ['127.0.1:80', /"127.0.1" is not an address/],
      ['224.0.0.1:80', /multicast/],
      ['8080:10.0.0.2:80', /leads to 10\.0\.0\.2/],
    ]);
  });

  it('never throws, and keeps ranges in range', () => {
    const noise = fc.string({ unit: fc.constantFrom(...'0123456789.:-/[]abtcpud') });
    fc.assert(
      fc.property(noise, (text) => {
        const result = parsePublish(text);
        if (!result.ok) return;
        const { firstPort, lastPort, toPort } = result.value;
        assert.ok(firstPort >= 0 && firstPort <= lastPort && lastPort <= 65_535);
        assert.ok((toPort ?? 1) >= 1 && (toPort ?? 1) + lastPort - firstPort <= 65_535);
      }),
    );
  });
});

describe('parseMac', () => {
  it('takes local unicast addresses only', () => {
    accepts(parseMac, ['02:00:00:00:00:01', 'fe:ff:ff:ff:ff:ff'], formatMacAddress);
    refuses(parseMac, [
      ['02:00:00:00:00', /not a MAC/],
      ['03:00:00:00:00:01', /multicast/],
      ['00:16:3e:00:00:01', /manufacturer/],
    ]);
    const result = parseMac('00:16:3e:00:00:01');
    assert.ok(!result.ok);
    assert.match(result.right, /02:16:3e:00:00:01/);
  });
});

describe('parseMtu, parseMaxFlows', () => {
  it('take whole numbers within their range', () => {
    accepts(parseMtu, ['576', '1500', '65520'], String);
    refuses(parseMtu, [
      ['575', /below 576/],
      ['65521', /above 65520/],
      ['1500 ', /not a whole/],
      ['1e3', /not a whole/],
    ]);
    accepts(parseMaxFlows, ['16', '1048576'], String);
    refuses(parseMaxFlows, [
      ['0', /below/],
      ['-1', /not a whole/],
      ['9'.repeat(400), /above/],
    ]);
  });
});

describe('parseInterfaceName', () => {
  it('takes what the kernel takes', () => {
    accepts(parseInterfaceName, ['eth0', 'a', 'wlan0.100', '123456789012345', '\u00e9\u00e9\u00e9'], String);
    refuses(parseInterfaceName, [
      ['', /empty/],
      ['1234567890123456', /16 bytes/],
      ['\u00e9'.repeat(8), /16 bytes/],
      ['a/b', /"\/"/],
      ['a b', /" "/],
      ['eth0:1', /":"/],
      ['eth%d', /"%"/],
      ['a\u0007', /can't be part/],
      ['..', /directories/],
      ['lo', /loopback/],
    ]);
  });
});

describe('parseFilePath, parseCapturePath', () => {
  it('tell files from options, and keep the standard output to the command', () => {
    accepts(parseFilePath, ['-', '/dev/stderr', 'a b'], String);
    refuses(parseFilePath, [
      ['', /empty/],
      ['--summary', /option/],
      ['a\0b', /zero/],
    ]);
    accepts(parseCapturePath, ['out.pcapng'], String);
    refuses(parseCapturePath, [['-', /belongs to the command/]]);
  });
});
