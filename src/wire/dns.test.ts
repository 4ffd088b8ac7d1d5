import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import * as dns from './dns.ts';

/** A resolver's answer to "www.debian.org A": an alias, then its address, names compressed, EDNS. */
const ANSWER = bytes(
  '8f3a 8180 0001 0002 0000 0001',
  '03 777777 06 64656269616e 03 6f7267 00 0001 0001',
  'c00c 0005 0001 00000e10 0009 06 737461746963 c010',
  'c02c 0001 0001 0000012c 0004 82 59 94 4d',
  '00 0029 04d0 0000 0000 0000',
);

/** "host.test AAAA" as a stub resolver with EDNS asks for it. */
const QUERY = bytes(
  '1234 0120 0001 0000 0000 0001',
  '04 686f7374 04 74657374 00 001c 0001',
  '00 0029 04b0 00000000 0000',
);

describe('dns reading', () => {
  it('reads a captured answer', () => {
    const view = viewOf(ANSWER);
    const end = ANSWER.length;
    assert.equal(dns.check(view, 0, end), end);
    assert.equal(dns.id(view, 0), 0x8f3a);
    assert.equal(dns.isResponse(view, 0), true);
    assert.equal(dns.responseCode(view, 0), dns.RESPONSE_CODE.NO_ERROR);
    assert.equal(dns.questionCount(view, 0), 1);
    assert.equal(dns.answerCount(view, 0), 2);

    const record = new Int32Array(dns.RECORD_WORDS);
    let at = dns.readQuestion(view, dns.HEADER_BYTES, end, record);
    assert.equal(dns.nameText(view, 0, record[dns.RECORD.NAME], end), 'www.debian.org');
    assert.equal(record[dns.RECORD.TYPE], dns.TYPE.A);

    at = dns.readRecord(view, at, end, record);
    assert.equal(record[dns.RECORD.TYPE], dns.TYPE.CNAME);
    assert.equal(record[dns.RECORD.TTL_SECONDS], 3600);
    const alias = record[dns.RECORD.DATA];
    assert.equal(dns.nameText(view, 0, record[dns.RECORD.NAME], end), 'www.debian.org');
    assert.equal(dns.nameText(view, 0, alias, end), 'static.debian.org');

    at = dns.readRecord(view, at, end, record);
    assert.equal(record[dns.RECORD.TYPE], dns.TYPE.A);
    assert.equal(record[dns.RECORD.CLASS], dns.CLASS_INTERNET);
    assert.equal(record[dns.RECORD.DATA_BYTES], 4);
    assert.equal(view.getInt32(record[dns.RECORD.DATA]), 0x8259944d | 0);
    assert.equal(dns.sameName(view, 0, alias, record[dns.RECORD.NAME], end), true);
    assert.equal(dns.sameName(view, 0, alias, dns.HEADER_BYTES, end), false);

    assert.equal(dns.readRecord(view, at, end, record), end);
    assert.equal(record[dns.RECORD.TYPE], dns.TYPE.OPT);
  });

  it('reads a message that does not start the memory', () => {
    const memory = new Uint8Array(ANSWER.length + 100).fill(0xff);
    memory.set(ANSWER, 100);
    const view = viewOf(memory);
    assert.equal(dns.check(view, 100, memory.length), ANSWER.length);
    assert.equal(dns.nameText(view, 100, 100 + 44, memory.length), 'static.debian.org');
  });

  it('refuses every shorter prefix', () => {
    for (let end = 0; end < ANSWER.length; end++) {
      assert.equal(dns.check(viewOf(ANSWER), 0, end), dns.TOO_SHORT, `${end} bytes`);
    }
  });

  it('escapes what does not print, and never lets it through', () => {
    const name = bytes('05 612e5c2062 04 1b5b 00 ff 00');
    assert.equal(dns.nameText(viewOf(name), 0, 0, name.length), 'a\\.\\\\\\032b.\\027[\\000\\255');
    assert.equal(dns.nameText(viewOf(bytes('00')), 0, 0, 1), '.');
  });

  it('ends on pointers that lead around in circles, forward, or outside', () => {
    for (const text of ['c000', '01 61 c000', 'c002 c000', '01 61 c002', 'c0ff', '41 61 00', '03 61', 'c0']) {
      const name = bytes(text);
      assert.equal(dns.nameText(viewOf(name), 0, 0, name.length), undefined, text);
      const twice = bytes(text, text);
      assert.equal(dns.sameName(viewOf(twice), 0, 0, name.length, twice.length), false, text);
    }
  });

  it('refuses a name longer than 255 octets, however it is put together', () => {
    const label = `3f ${'61'.repeat(63)}`;
    const plain = bytes(label.repeat(4), '00');
    assert.equal(dns.nameText(viewOf(plain), 0, 0, plain.length), undefined);
    const compressed = bytes(label.repeat(3), '00', label, 'c000');
    assert.equal(dns.nameText(viewOf(compressed), 0, 193, compressed.length), undefined);
    assert.notEqual(dns.nameText(viewOf(compressed), 0, 0, compressed.length), undefined);
  });

  it('compares letters without case', () => {
    const names = bytes('03 466f4f 00', '03 666f6f 00', '03 666f5b 00');
    assert.equal(dns.sameName(viewOf(names), 0, 0, 5, names.length), true);
    assert.equal(dns.sameName(viewOf(names), 0, 5, 10, names.length), false);
  });

  it('survives random bytes', () => {
    const record = new Int32Array(dns.RECORD_WORDS);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(255), (random, octet) => {
        // Small counts and many pointers, so that more than the header is looked at.
        for (let i = 4; i < Math.min(12, random.length); i++) random[i] = i % 2 === 0 ? 0 : random[i] & 3;
        for (let i = 12; i < random.length; i += 3) if (octet & 1) random[i] = 0xc0;
        const view = viewOf(random);
        const end = random.length;
        const checked = dns.check(view, 0, end);
        assert.ok(checked <= end);
        for (let at = 0; at < end; at++) {
          dns.nameText(view, 0, at, end);
          dns.sameName(view, 0, at, end - 1 - at, end);
          const behind = dns.readRecord(view, at, end, record);
          if (behind >= 0) assert.ok(record[dns.RECORD.DATA] + record[dns.RECORD.DATA_BYTES] <= end);
        }
      }),
    );
  });
});

describe('dns writing', () => {
  it('writes names as text is read', () => {
    const memory = new Uint8Array(300);
    const view = viewOf(memory);
    for (const text of ['example.org', 'a\\.b.c', '\\000\\255x.y', '.', 'x'.repeat(63)]) {
      const behind = dns.writeName(view, 3, memory.length, text);
      assert.ok(behind > 0, text);
      assert.equal(dns.nameText(view, 0, 3, behind), text);
      for (let end = 3; end < behind; end++) assert.equal(dns.writeName(view, 3, end, text), dns.TOO_SHORT, text);
    }
    assert.equal(dns.writeName(view, 0, 300, 'org.'), 5);
    for (const text of ['a..b', '..', 'x'.repeat(64), '\\999', 'end\\', 'ü€', `${'abc.'.repeat(64)}x`]) {
      assert.equal(dns.writeName(view, 0, 300, text), dns.NAME_INVALID, text);
    }
  });

  it('gives back any name', () => {
    const memory = new Uint8Array(300);
    const label = fc.uint8Array({ minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(fc.array(label, { minLength: 1, maxLength: 5 }), (labels) => {
        const wire = Uint8Array.from([...labels.flatMap((octets) => [octets.length, ...octets]), 0]);
        const text = dns.nameText(viewOf(wire), 0, 0, wire.length);
        assert.ok(text !== undefined);
        const behind = dns.writeName(viewOf(memory), 0, memory.length, text);
        assert.deepEqual(memory.slice(0, behind), wire);
      }),
    );
  });

  it('answers a query in place, with addresses and EDNS', () => {
    const { view, query } = received(QUERY);
    assert.equal(query[dns.QUERY.TYPE], dns.TYPE.AAAA);
    assert.equal(query[dns.QUERY.EDNS], 1);
    let at = dns.beginResponse(view, 0, query, dns.RESPONSE_CODE.NO_ERROR);
    at = dns.appendAddress(view, 0, at, 512, 60, 0xfd000000 | 0, 0, 0, 1);
    at = dns.endResponse(view, 0, at, 512, query);
    const written = new Uint8Array(view.buffer, 0, at);
    const wanted = bytes(
      '1234 8180 0001 0001 0000 0001',
      '04 686f7374 04 74657374 00 001c 0001',
      'c00c 001c 0001 0000003c 0010 fd000000000000000000000000000001',
      '00 0029 04d0 00000000 0000',
    );
    assert.deepEqual(written, wanted);
    assert.equal(dns.check(view, 0, at), at);
  });

  it('answers with an A record, with nothing, and with "no such name"', () => {
    const plain = QUERY.slice(0, QUERY.length - 11);
    plain[11] = 0;
    const { view, query } = received(plain);
    const first = dns.beginResponse(view, 0, query, dns.RESPONSE_CODE.NAME_UNKNOWN);
    assert.equal(dns.responseCode(view, 0), 3);
    assert.equal(dns.endResponse(view, 0, first, 512, query), plain.length);
    dns.beginResponse(view, 0, query, dns.RESPONSE_CODE.NO_ERROR);
    const at = dns.appendAddress(view, 0, first, 512, 5, 0, 0, 0xffff, 0x7f000001);
    assert.equal(dns.check(view, 0, at), plain.length + 16);
    assert.equal(dns.appendAddress(view, 0, at, at + 15, 5, 0, 0, 0xffff, 1), dns.TOO_SHORT);
  });

  it('takes only one standard question for a query', () => {
    const query = new Int32Array(dns.QUERY_WORDS);
    assert.equal(dns.readQuery(viewOf(ANSWER), 0, ANSWER.length, query), dns.QUERY_INVALID);
    const update = QUERY.slice();
    update[2] = 0x28;
    assert.equal(dns.readQuery(viewOf(update), 0, update.length, query), dns.QUERY_INVALID);
    for (let end = 0; end < QUERY.length; end++) {
      assert.equal(dns.readQuery(viewOf(QUERY), 0, end, query), dns.TOO_SHORT);
    }
  });
});

/** A query in a buffer with room for its answer. */
function received(message: Uint8Array): { view: DataView; query: Int32Array } {
  const memory = new Uint8Array(512);
  memory.set(message);
  const query = new Int32Array(dns.QUERY_WORDS);
  assert.equal(dns.readQuery(viewOf(memory), 0, message.length, query), 0);
  return { view: viewOf(memory), query };
}

function bytes(...hex: string[]): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.join('').replaceAll(' ', ''), 'hex'));
}

function viewOf(memory: Uint8Array): DataView {
  return new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
}
