import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { IpAddress, MacAddress } from '../base/address.ts';
import * as dhcpv6 from './dhcpv6.ts';

const OPTIONS = dhcpv6.HEADER_BYTES;

/** dhclient -6: client id (DUID-LLT), options wanted (DNS, search list), elapsed time, IA_NA. */
const SOLICIT = bytes(
  '01 a1b2c3',
  '0001 000e 00010001 2c5f0d3a 02005e100001',
  '0006 0004 0017 0018',
  '0008 0002 0000',
  '0003 000c 5e100001 00000e10 00001518',
);

/** systemd-networkd: rapid commit, IA_NA and IA_PD, vendor class, and a RENEW's address. */
const RENEW = bytes(
  '05 010203',
  '0001 000e 0002 0000ab11 5d1f3c9b2a7e4f60',
  '0002 000a 00030001 9a5509a1f7c2',
  '0003 0028 6e2f1a00 00000000 00000000',
  '0005 0018 fd746170737465720000000000000100 00000708 00000e10',
  '0019 000c 6e2f1a00 00000000 00000000',
  '0006 0008 0017 0018 001f 0038',
);

describe('dhcpv6 reading', () => {
  it('reads what dhclient sends', () => {
    const view = viewOf(SOLICIT);
    const end = SOLICIT.length;
    assert.equal(dhcpv6.check(view, 0, end), OPTIONS);
    assert.equal(dhcpv6.type(view, 0), dhcpv6.TYPE.SOLICIT);
    assert.equal(dhcpv6.transaction(view, 0), 0xa1b2c3);
    const id = dhcpv6.findOption(view, OPTIONS, end, dhcpv6.OPTION.CLIENT_ID);
    assert.equal(dhcpv6.hasData(view, id, SOLICIT.subarray(8, 22)), true);
    assert.equal(dhcpv6.hasData(view, id, SOLICIT.subarray(8, 21)), false);
    assert.equal(dhcpv6.hasData(view, id, SOLICIT.subarray(9, 23)), false);
    assert.equal(dhcpv6.wants(view, OPTIONS, end, dhcpv6.OPTION.NAME_SERVERS), true);
    assert.equal(dhcpv6.wants(view, OPTIONS, end, dhcpv6.OPTION.REFRESH_SECONDS), false);
    const association = dhcpv6.findOption(view, OPTIONS, end, dhcpv6.OPTION.IA_NA);
    assert.equal(dhcpv6.associationId(view, association), 0x5e100001);
    assert.equal(dhcpv6.associationOptions(view, association), end);
    assert.equal(dhcpv6.findOption(view, OPTIONS, end, dhcpv6.OPTION.SERVER_ID), dhcpv6.NO_OPTION);
  });

  it('reads an address within an association', () => {
    const view = viewOf(RENEW);
    const end = RENEW.length;
    assert.equal(dhcpv6.check(view, 0, end), OPTIONS);
    const association = dhcpv6.findOption(view, OPTIONS, end, dhcpv6.OPTION.IA_NA);
    const first = dhcpv6.associationOptions(view, association);
    const behind = dhcpv6.next(view, association);
    const address = dhcpv6.findOption(view, first, behind, dhcpv6.OPTION.IA_ADDRESS);
    assert.equal(dhcpv6.addressWord(view, address, 0), 0xfd746170 | 0);
    assert.equal(dhcpv6.addressWord(view, address, 3), 0x100);
    assert.equal(dhcpv6.preferredSeconds(view, address), 1800);
    assert.equal(dhcpv6.validSeconds(view, address), 3600);
    assert.equal(dhcpv6.next(view, address), behind);
    assert.equal(dhcpv6.optionCode(view, behind), dhcpv6.OPTION.IA_PD);
  });

  it('refuses every prefix but those that end between options', () => {
    for (const whole of [SOLICIT, RENEW]) {
      const view = viewOf(whole);
      const ends = new Set<number>([OPTIONS]);
      for (let at = OPTIONS; at < whole.length; at = dhcpv6.next(view, at)) ends.add(dhcpv6.next(view, at));
      for (let end = 0; end <= whole.length; end++) {
        assert.equal(dhcpv6.check(view, 0, end) > 0, ends.has(end), `${end} bytes`);
      }
    }
  });

  it('refuses options too short for their kind, and options that leave the one around them', () => {
    for (const hex of [
      '0001 0002 0001',
      `0001 0083 ${'00'.repeat(131)}`,
      '0003 000b 0000000000000000000000',
      '0004 0003 000000',
      '0006 0003 000000',
      '000d 0001 00',
      '0003 0010 000000000000000000000000 0005 0018',
      `0003 0027 000000000000000000000000 0005 0017 ${'00'.repeat(23)}`,
    ]) {
      const whole = bytes('01 000001', hex);
      assert.equal(dhcpv6.check(viewOf(whole), 0, whole.length), dhcpv6.OPTIONS_INVALID, hex);
    }
  });

  it('never leaves the message, whatever it says', () => {
    const known = fc.constantFrom(...Object.values(dhcpv6.OPTION));
    const option = fc.tuple(known, fc.uint8Array({ maxLength: 60 })).map(([code, inside]) => {
      return [0, code, 0, inside.length, ...inside];
    });
    const message = fc.oneof(
      fc.uint8Array({ maxLength: 100 }),
      fc.array(option, { maxLength: 5 }).map((options) => Uint8Array.from([1, 0, 0, 1, ...options.flat()])),
    );
    fc.assert(
      fc.property(message, (hostile) => {
        const view = viewOf(hostile);
        const end = hostile.length;
        if (dhcpv6.check(view, 0, end) < 0) return;
        dhcpv6.wants(view, OPTIONS, end, 23);
        for (let at = OPTIONS; at < end; at = dhcpv6.next(view, at)) {
          if (dhcpv6.optionCode(view, at) !== dhcpv6.OPTION.IA_NA) continue;
          dhcpv6.associationId(view, at);
          const first = dhcpv6.associationOptions(view, at);
          const address = dhcpv6.findOption(view, first, dhcpv6.next(view, at), dhcpv6.OPTION.IA_ADDRESS);
          if (address >= 0) dhcpv6.validSeconds(view, address);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe('dhcpv6 writing', () => {
  it('writes the same bytes', () => {
    const memory = new Uint8Array(400);
    const view = viewOf(memory);
    memory.set(RENEW, 100);
    const limit = 100;
    const server = dhcpv6.encodeLinkLayerId(new MacAddress(0x9a55, 0x09a1f7c2));
    let at = dhcpv6.writeHeader(view, 0, dhcpv6.TYPE.RENEW, 0x010203);
    at = dhcpv6.echoOption(view, at, limit, 100 + OPTIONS);
    at = dhcpv6.appendOption(view, at, limit, dhcpv6.OPTION.SERVER_ID, server);
    const association = at;
    at = dhcpv6.beginAssociation(view, at, dhcpv6.OPTION.IA_NA, 0x6e2f1a00, 0, 0);
    at = dhcpv6.appendAddress(view, at, 0xfd746170, 0x73746572, 0, 0x100, 1800, 3600);
    at = dhcpv6.endAssociation(view, association, at);
    assert.equal(at - association, dhcpv6.ASSOCIATION_BYTES);
    assert.deepEqual(memory.slice(0, at), RENEW.slice(0, at));
    assert.equal(dhcpv6.appendOption(view, at, at + 5, 23, new Uint8Array(2)), at);
    assert.equal(dhcpv6.echoOption(view, at, at + 17, 100 + OPTIONS), at);
  });

  it('writes a refused association', () => {
    const memory = new Uint8Array(40);
    const view = viewOf(memory);
    let at = dhcpv6.beginAssociation(view, 0, dhcpv6.OPTION.IA_TA, 7, 1, 2);
    at = dhcpv6.appendStatus(view, at, dhcpv6.STATUS.NO_ADDRESSES);
    dhcpv6.endAssociation(view, 0, at);
    assert.deepEqual(memory.slice(0, at), bytes('0004 000a 00000007 000d 0002 0002'));
    assert.equal(dhcpv6.statusCode(view, dhcpv6.associationOptions(view, 0)), dhcpv6.STATUS.NO_ADDRESSES);
  });

  it('encodes addresses and the search list', () => {
    const addresses = dhcpv6.encodeAddresses([new IpAddress(0xfd000000, 0, 0, 1), new IpAddress(1, 2, 3, 4)]);
    const wanted = 'fd000000 00000000 00000000 00000001 00000001 00000002 00000003 00000004';
    assert.deepEqual(addresses, bytes(wanted));
    assert.deepEqual(dhcpv6.encodeSearchList(['a.bc', '..', 'd']), bytes('01 61 02 6263 00 01 64 00'));
  });
});

function bytes(...hex: string[]): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.join('').replaceAll(' ', ''), 'hex'));
}

function viewOf(memory: Uint8Array): DataView {
  return new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
}
