import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseIpPrefix } from '../base/address.ts';
import * as dhcp from './dhcp.ts';

const CLIENT_MAC = '02005e100001';

/** dhclient's DISCOVER: host name, parameter list, padding up to 300 bytes. */
const DISCOVER = message(
  `01 01 06 00 3f6e2a11 0003 0000 ${'00'.repeat(16)}`,
  CLIENT_MAC,
  '350101 3204c0a80107 0c05 6775657374 370d 011c02790f060c282a031a2f77 ff',
);

/** udhcpc's DISCOVER: client id, largest message, parameter list, vendor class. */
const UDHCPC = message(
  `01 01 06 00 9a0b0c0d 0000 8000 ${'00'.repeat(16)}`,
  CLIENT_MAC,
  `3d07 01 ${CLIENT_MAC} 350101 3902 0240 3707 0103060c0f1c2a 3c0b 7564686370 20312e33362e ff`,
);

describe('dhcp reading', () => {
  it('reads what dhclient sends', () => {
    const view = viewOf(DISCOVER);
    const end = DISCOVER.length;
    assert.equal(dhcp.check(view, 0, end), dhcp.HEADER_BYTES);
    assert.equal(dhcp.operation(view, 0), dhcp.OPERATION_REQUEST);
    assert.equal(dhcp.transaction(view, 0), 0x3f6e2a11);
    assert.equal(dhcp.type(view, 0, end), dhcp.TYPE.DISCOVER);
    assert.equal(dhcp.wantsBroadcast(view, 0), false);
    assert.equal(dhcp.hardwareHigh(view, 0), 0x0200);
    assert.equal(dhcp.hardwareLow(view, 0), 0x5e100001);
    assert.equal(dhcp.optionValue(view, 0, end, dhcp.OPTION.REQUESTED_ADDRESS, 4, 0), 0xc0a80107 | 0);
    assert.equal(dhcp.wants(view, 0, end, dhcp.OPTION.CLASSLESS_ROUTES), true);
    assert.equal(dhcp.wants(view, 0, end, dhcp.OPTION.RAPID_COMMIT), false);
    assert.equal(dhcp.findOption(view, 0, end, dhcp.OPTION.SERVER), dhcp.NO_OPTION);
  });

  it('reads what udhcpc sends', () => {
    const view = viewOf(UDHCPC);
    const end = UDHCPC.length;
    assert.equal(dhcp.check(view, 0, end), dhcp.HEADER_BYTES);
    assert.equal(dhcp.wantsBroadcast(view, 0), true);
    assert.equal(dhcp.optionValue(view, 0, end, dhcp.OPTION.MESSAGE_BYTES_MAX, 2, 0), 576);
    const id = dhcp.findOption(view, 0, end, dhcp.OPTION.CLIENT_ID);
    assert.equal(dhcp.optionBytes(view, id), 7);
    assert.equal(view.getUint8(id), 1);
  });

  it('refuses every prefix that ends before the options do', () => {
    for (const whole of [DISCOVER, UDHCPC]) {
      const optionsEnd = whole.lastIndexOf(0xff) + 1;
      for (let end = 0; end < optionsEnd; end++) assert.ok(dhcp.check(viewOf(whole), 0, end) < 0, `${end} bytes`);
      assert.equal(dhcp.check(viewOf(whole), 0, optionsEnd), dhcp.HEADER_BYTES);
    }
  });

  it('refuses other hardware and another cookie', () => {
    for (const at of [1, 2, 236, 239]) {
      const changed = DISCOVER.slice();
      changed[at] ^= 1;
      assert.equal(dhcp.check(viewOf(changed), 0, changed.length), dhcp.HEADER_INVALID);
    }
  });

  it('finds options in the file and name fields, when they are said to be there', () => {
    const overloaded = message(`01 01 06 00 00000001 0000 0000 ${'00'.repeat(16)}`, CLIENT_MAC, '340103 350103 ff');
    overloaded.set([50, 4, 10, 0, 0, 1, 255], 108);
    overloaded.set([54, 4, 10, 0, 0, 2, 255], 44);
    const view = viewOf(overloaded);
    const end = overloaded.length;
    assert.equal(dhcp.check(view, 0, end), dhcp.HEADER_BYTES);
    assert.equal(dhcp.optionValue(view, 0, end, dhcp.OPTION.REQUESTED_ADDRESS, 4, 0), 0x0a000001);
    assert.equal(dhcp.optionValue(view, 0, end, dhcp.OPTION.SERVER, 4, 0), 0x0a000002);
    assert.equal(dhcp.type(view, 0, end), dhcp.TYPE.REQUEST);
    overloaded[242] = 2;
    assert.equal(dhcp.findOption(view, 0, end, dhcp.OPTION.REQUESTED_ADDRESS), dhcp.NO_OPTION);
    overloaded.set([54, 200], 44);
    assert.equal(dhcp.check(view, 0, end), dhcp.OPTIONS_INVALID);
    overloaded[242] = 1;
    overloaded[108] = 9;
    overloaded[109] = 250;
    assert.equal(dhcp.check(view, 0, end), dhcp.OPTIONS_INVALID);
  });

  it('never leaves the message, whatever it says', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 120 }),
        fc.nat(255),
        fc.uint8Array({ maxLength: 190 }),
        (options, code, fields) => {
          const hostile = new Uint8Array(240 + options.length);
          hostile.set(DISCOVER.subarray(0, 240));
          hostile.set(fields, 44);
          hostile.set(options, 240);
          const view = viewOf(hostile);
          const end = hostile.length;
          if (dhcp.check(view, 0, end) < 0) return;
          const found = dhcp.findOption(view, 0, end, code);
          if (found >= 0) assert.ok(found + dhcp.optionBytes(view, found) <= end);
          dhcp.wants(view, 0, end, code);
          dhcp.type(view, 0, end);
        },
      ),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (random) => {
        assert.ok(dhcp.check(viewOf(random), 0, random.length) <= dhcp.HEADER_BYTES);
      }),
    );
  });
});

describe('dhcp writing', () => {
  it('writes a reply that reads as one, at least 300 bytes long', () => {
    const { memory, view, request, requestEnd } = received(UDHCPC);
    let at = dhcp.beginReply(view, 0, request, dhcp.TYPE.OFFER, 0x0a000264);
    at = dhcp.appendWord(view, at, 548, dhcp.OPTION.SERVER, 0x0a000202);
    at = dhcp.appendOption(view, at, 548, dhcp.OPTION.HOST_NAME, Uint8Array.of(0x76, 0x6d));
    at = dhcp.echoOption(view, at, 548, request, requestEnd, dhcp.OPTION.CLIENT_ID);
    at = dhcp.echoOption(view, at, 548, request, requestEnd, dhcp.OPTION.RELAY_INFORMATION);
    const end = dhcp.endReply(view, at, 0);
    assert.equal(end, 300);
    const wanted = message(
      `02 01 06 00 9a0b0c0d 0000 8000 00000000 0a000264 00000000 00000000`,
      CLIENT_MAC,
      `350102 36040a000202 0c02766d 3d0701${CLIENT_MAC} ff`,
    );
    assert.deepEqual(memory.slice(0, 300), wanted);
  });

  it('sends a reply where RFC 2131, section 4.1 says', () => {
    const request = DISCOVER.slice();
    const view = viewOf(request);
    const given = 0x0a000264;
    const to = (type: number, yourAddress: number): number => dhcp.replyAddress(view, 0, type, yourAddress);
    assert.equal(to(dhcp.TYPE.OFFER, given), given);
    assert.equal(to(dhcp.TYPE.ACK, 0), -1);
    assert.equal(to(dhcp.TYPE.NAK, 0), -1);
    request[10] = 0x80;
    assert.equal(to(dhcp.TYPE.OFFER, given), -1);
    view.setInt32(12, 0x0a000263);
    assert.equal(to(dhcp.TYPE.ACK, given), 0x0a000263);
    assert.equal(to(dhcp.TYPE.NAK, 0), -1);
    view.setInt32(24, 0x0a000001);
    assert.equal(to(dhcp.TYPE.ACK, given), 0x0a000001);
    assert.equal(to(dhcp.TYPE.NAK, 0), 0x0a000001);
  });

  it('has a refusal broadcast by a relay', () => {
    const relayed = DISCOVER.slice();
    viewOf(relayed).setInt32(24, 0x0a000001);
    const { view, request } = received(relayed);
    dhcp.beginReply(view, 0, request, dhcp.TYPE.NAK, 0);
    assert.equal(dhcp.wantsBroadcast(view, 0), true);
    assert.equal(dhcp.relayAddress(view, 0), 0x0a000001);
    assert.equal(dhcp.yourAddress(view, 0), 0);
  });

  it('cuts a long option, and leaves out whole what does not fit', () => {
    const memory = new Uint8Array(1000);
    const view = viewOf(memory);
    const long = Uint8Array.from({ length: 300 }, (_, i) => i);
    const at = dhcp.appendOption(view, 0, 1000, 119, long);
    assert.equal(at, 304);
    assert.deepEqual([memory[0], memory[1], memory[257], memory[258]], [119, 255, 119, 45]);
    assert.equal(memory[259], 255);
    assert.equal(dhcp.appendOption(view, 0, 304, 119, long), 0);
    assert.equal(dhcp.appendOption(view, 0, 305, 119, long), 304);
    assert.equal(dhcp.appendWord(view, 0, 6, 1, -1), 0);
    assert.equal(dhcp.appendOption(view, 0, 100, dhcp.OPTION.RAPID_COMMIT, new Uint8Array(0)), 2);
  });

  it('encodes classless routes as in RFC 3442', () => {
    const route = (text: string, router: number): Parameters<typeof dhcp.encodeRoutes>[0][number] => {
      const destination = parseIpPrefix(text);
      assert.ok(destination);
      return { destination, router };
    };
    const data = dhcp.encodeRoutes([
      route('10.0.2.2/32', 0),
      route('0.0.0.0/0', 0x0a000202),
      route('10.17.99.1/17', 0x0a000201),
      route('192.168.1.0/24', 0x0a000201),
    ]);
    assert.equal(
      Buffer.from(data).toString('hex'),
      '200a00020200000000' + '000a000202' + '110a11000a000201' + '18c0a8010a000201',
    );
  });

  it('compresses the search list as in the example of RFC 3397', () => {
    const data = dhcp.encodeSearchList(['eng.apple.com.', 'marketing.apple.com.']);
    assert.equal(
      Buffer.from(data).toString('hex'),
      '03656e67' + '056170706c65' + '03636f6d' + '00' + '096d61726b6574696e67' + 'c004',
    );
    assert.equal(dhcp.encodeSearchList(['', '.', 'a..b']).length, 0);
    assert.equal(Buffer.from(dhcp.encodeSearchList(['a.b', 'a.b'])).toString('hex'), '0161016200c000');
  });
});

/** A request as it lies in the arena, behind room for the reply. */
function received(bytes: Uint8Array): { memory: Uint8Array; view: DataView; request: number; requestEnd: number } {
  const memory = new Uint8Array(1500).fill(0xee);
  const request = 602;
  memory.set(bytes, request);
  return { memory, view: viewOf(memory), request, requestEnd: request + bytes.length };
}

/** A message of 300 bytes or more: the first 28 bytes, chaddr, zeros, the cookie, options. */
function message(start: string, mac: string, options: string): Uint8Array {
  const hex = (start + mac).replaceAll(' ', '').padEnd(236 * 2, '0');
  const whole = `${hex}63825363${options}`.replaceAll(' ', '');
  return Uint8Array.from(Buffer.from(whole.padEnd(600, '0'), 'hex'));
}

function viewOf(memory: Uint8Array): DataView {
  return new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
}
