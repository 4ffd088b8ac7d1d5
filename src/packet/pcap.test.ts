import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { frame, SYN_IPV4, UDP_IPV6 } from '../wire/captured.test.ts';
import { type PcapFile, readPcap, writeFileHeader, writeRecord } from './pcap.ts';
import { PcapChunk } from './pcap-chunk.ts';

const SYN = new Uint8Array(SYN_IPV4.buffer);
const DATAGRAM = new Uint8Array(UDP_IPV6.buffer);

/** One packet of two bytes, at 1 s and 2 us, of 60 on the wire: as an old big-endian machine writes it. */
const BIG_ENDIAN = frame(
  'a1b2c3d4 0002 0004 00000000 00000000 0000ffff 00000001',
  '00000001 00000002 00000002 0000003c abcd',
);

describe('pcap', () => {
  it('reads back what it writes', () => {
    const file = read(written());
    assert.equal(file.truncated, false);
    assert.equal(file.records.length, 2);
    assert.deepEqual(
      { ...file.records[0], frame: [...file.records[0].frame] },
      {
        seconds: 1_800_000_000,
        nanoseconds: 999_999_999,
        frame: [...SYN],
        originalBytes: SYN.length,
      },
    );
    assert.deepEqual([...file.records[1].frame], [...DATAGRAM.subarray(2, 12)]);
    assert.equal(file.records[1].originalBytes, 5000);
  });

  it('writes the bytes that tcpdump writes', () => {
    const chunk = new PcapChunk();
    writeFileHeader(chunk, 'nanoseconds');
    writeRecord(chunk, 1, 2, Uint8Array.of(0xab, 0xcd), 0, 2, 60);
    const expected = frame(
      '4d3cb2a1 0200 0400 00000000 00000000 00000400 01000000',
      '01000000 02000000 02000000 3c000000 abcd',
    );
    assert.deepEqual([...chunk.bytes.subarray(0, chunk.length)], [...new Uint8Array(expected.buffer)]);
  });

  it('reads the other byte order and microseconds', () => {
    const [record] = read(new Uint8Array(BIG_ENDIAN.buffer)).records;
    assert.deepEqual([record.seconds, record.nanoseconds, record.originalBytes], [1, 2000, 60]);
    assert.deepEqual([...record.frame], [0xab, 0xcd]);
  });

  it('refuses what is no such file', () => {
    const code = (bytes: Uint8Array): string => {
      const result = readPcap(bytes);
      return result.ok ? '' : result.failure.code;
    };
    assert.equal(code(new Uint8Array(23)), 'pcap-too-short');
    assert.equal(code(new Uint8Array(24)), 'pcap-magic');
    const raw = new Uint8Array(BIG_ENDIAN.buffer.slice(0));
    raw[23] = 101;
    assert.equal(code(raw), 'pcap-link-type');
  });

  it('reads as many whole records as a shorter file has', () => {
    const bytes = written();
    for (let end = 24; end < bytes.length; end++) {
      const file = read(bytes.slice(0, end));
      assert.equal(file.records.length, end < 24 + 16 + SYN.length ? 0 : 1);
      assert.equal(file.truncated, end !== 24 && end !== 24 + 16 + SYN.length);
    }
  });

  it('never throws on changed bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat({ max: 120 }), fc.nat({ max: 255 })), { maxLength: 8 }), (changes) => {
        const bytes = written();
        for (const [at, value] of changes) bytes[at] = value;
        readPcap(bytes);
      }),
    );
  });
});

function written(): Uint8Array {
  const chunk = new PcapChunk(16);
  writeFileHeader(chunk, 'nanoseconds');
  writeRecord(chunk, 1_800_000_000, 999_999_999, SYN, 0, SYN.length, SYN.length);
  writeRecord(chunk, 1_800_000_001, 0, DATAGRAM, 2, 10, 5000);
  return chunk.bytes.slice(0, chunk.length);
}

function read(bytes: Uint8Array): PcapFile {
  const result = readPcap(bytes);
  assert.ok(result.ok);
  return result.value;
}
