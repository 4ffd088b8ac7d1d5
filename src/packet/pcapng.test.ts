import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseIpAddress } from '../base/address.ts';
import { frame, SYN_IPV4, UDP_IPV6 } from '../wire/captured.test.ts';
import { PcapChunk } from './pcap-chunk.ts';
import * as pcapng from './pcapng.ts';
import { type PcapngFile, readPcapng } from './pcapng-read.ts';

const SYN = new Uint8Array(SYN_IPV4.buffer);
const DATAGRAM = new Uint8Array(UDP_IPV6.buffer);
const COMMENT = 'flow 1 opened: größer, 日本, 𝄞';

const hasTshark = spawnSync('tshark', ['--version']).status === 0;

describe('pcapng', () => {
  it('reads back what it writes', () => {
    const file = read(written());
    assert.deepEqual([file.hardware, file.os, file.application], ['x86_64', 'Linux', 'tapster 0.1.0']);
    assert.deepEqual(file.comments, ['of the section', 'of the names']);
    assert.deepEqual(file.interfaces, [{ name: 'eth0', linkType: 1, resolution: 9, comments: ['of the interface'] }]);
    assert.equal(file.packets.length, 2);
    const [syn, datagram] = file.packets;
    assert.equal(syn.time, 1_800_000_000_123_456_789n);
    assert.deepEqual([syn.direction, syn.comments], [pcapng.DIRECTION_INBOUND, [COMMENT]]);
    assert.deepEqual([...syn.frame], [...SYN]);
    assert.deepEqual([datagram.direction, datagram.comments], [pcapng.DIRECTION_UNKNOWN, []]);
    assert.deepEqual([...datagram.frame], [...DATAGRAM.subarray(1, 12)]);
    assert.equal(datagram.originalBytes, 5000);
    assert.deepEqual(
      file.names.map(({ address, names }) => [String(address), names]),
      [
        ['10.0.2.2', ['gw', 'gateway.example']],
        ['2001:db8::2', ['six.example']],
      ],
    );
    assert.equal(file.truncated, false);
  });

  it('writes a packet as the format says', () => {
    const chunk = new PcapChunk();
    pcapng.writePacket(chunk, 0, 4, 294_967_297, pcapng.DIRECTION_OUTBOUND, Uint8Array.of(0xab), 0, 1, 60, 'hi');
    const expected = frame(
      '06000000 38000000 00000000 01000000 01000000 01000000 3c000000 ab000000',
      '02000400 02000000 01000200 68690000 00000000 38000000',
    );
    assert.deepEqual([...chunk.bytes.subarray(0, chunk.length)], [...new Uint8Array(expected.buffer)]);
  });

  it('keeps every nanosecond of a time', () => {
    fc.assert(
      fc.property(fc.nat({ max: 0xffff_ffff }), fc.nat({ max: 999_999_999 }), (seconds, nanoseconds) => {
        const chunk = withInterface();
        pcapng.writePacket(chunk, 0, seconds, nanoseconds, 0, SYN, 0, 0, 0, undefined);
        assert.equal(read(taken(chunk)).packets[0].time, BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds));
      }),
    );
  });

  it('keeps every text, and cuts one that is too long between two characters', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (comment) => {
        const chunk = withInterface();
        pcapng.writePacket(chunk, 0, 0, 0, 0, SYN, 0, 0, 0, comment);
        assert.deepEqual(read(taken(chunk)).packets[0].comments, [comment]);
      }),
    );
    const chunk = withInterface();
    pcapng.writePacket(chunk, 0, 0, 0, 0, SYN, 0, 0, 0, `x${'é'.repeat(40_000)}`);
    pcapng.writePacket(chunk, 0, 0, 0, 0, SYN, 0, 0, 0, 'half of a pair: \ud800');
    const file = read(taken(chunk));
    assert.equal(file.packets[0].comments[0].length, 1 + 32_767);
    assert.equal(file.packets[1].comments[0], 'half of a pair: \ufffd');
  });

  it('writes as many names of an address as fit', () => {
    const chunk = withInterface();
    const address = parseIpAddress('192.0.2.1');
    assert.ok(address);
    pcapng.writeNames(chunk, [
      { address, names: new Array<string>(10_000).fill('name.example') },
      { address, names: [] },
      { address, names: ['a\0b'] },
    ]);
    const file = read(taken(chunk));
    assert.equal(file.names.length, 2);
    assert.ok(file.names[0].names.length > 5000);
    assert.deepEqual(file.names[1].names, ['ab']);
  });

  it('reads the other byte order', () => {
    const bytes = frame(
      '0a0d0d0a 0000001c 1a2b3c4d 0001 0000 ffffffffffffffff 0000001c',
      '00000001 00000014 0001 0000 00040000 00000014',
      '00000006 00000024 00000000 00000001 00000002 00000002 0000003c abcd0000 00000024',
    );
    const file = read(new Uint8Array(bytes.buffer));
    assert.equal(file.interfaces[0].resolution, 6);
    assert.equal(file.packets[0].time, 0x1_0000_0002n);
    assert.deepEqual([...file.packets[0].frame], [0xab, 0xcd]);
  });

  it('reads the whole blocks of a shorter file', () => {
    const bytes = written();
    let packets = 0;
    for (let end = 0; end < bytes.length; end++) {
      const result = readPcapng(bytes.slice(0, end));
      if (!result.ok) continue;
      assert.ok(result.value.packets.length >= packets);
      packets = result.value.packets.length;
    }
    assert.equal(packets, 1);
  });

  it('never throws on changed bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat({ max: 500 }), fc.nat({ max: 255 })), { maxLength: 8 }), (changes) => {
        const bytes = written();
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        readPcapng(bytes);
      }),
      { numRuns: 1000 },
    );
  });

  it('is read by tshark, names and comments included', { skip: hasTshark ? false : 'tshark is not installed' }, () => {
    const folder = mkdtempSync(join(tmpdir(), 'tapster-pcapng-'));
    const path = join(folder, 'capture.pcapng');
    try {
      writeFileSync(path, written());
      const fields = ['frame.comment', 'frame.interface_name', 'frame.time_epoch', 'ip.dst_host', 'tcp.dstport'];
      const options = fields.flatMap((field) => ['-e', field]);
      const run = spawnSync('tshark', ['-r', path, '-N', 'n', '-c', '1', '-T', 'fields', ...options], {
        encoding: 'utf8',
      });
      assert.equal(run.stdout, `${[COMMENT, 'eth0', '1800000000.123456789', 'gateway.example', '80'].join('\t')}\n`);
      assert.equal(run.status, 0);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

function written(): Uint8Array {
  const gateway = parseIpAddress('10.0.2.2');
  const six = parseIpAddress('2001:db8::2');
  assert.ok(gateway && six);
  const chunk = new PcapChunk(16);
  const section = { hardware: 'x86_64', os: 'Linux', application: 'tapster 0.1.0', comment: 'of the section' };
  pcapng.writeSection(chunk, section);
  pcapng.writeInterface(chunk, { name: 'eth0', description: 'guest', comment: 'of the interface' });
  const names = [
    { address: gateway, names: ['gw', 'gateway.example'] },
    { address: six, names: ['six.example'] },
  ];
  pcapng.writeNames(chunk, names, 'of the names');
  const { DIRECTION_INBOUND, DIRECTION_UNKNOWN, writePacket } = pcapng;
  writePacket(chunk, 0, 1_800_000_000, 123_456_789, DIRECTION_INBOUND, SYN, 0, SYN.length, SYN.length, COMMENT);
  writePacket(chunk, 0, 1_800_000_001, 0, DIRECTION_UNKNOWN, DATAGRAM, 1, 11, 5000, undefined);
  return taken(chunk);
}

function withInterface(): PcapChunk {
  const chunk = new PcapChunk(16);
  pcapng.writeSection(chunk, { hardware: '', os: '', application: '' });
  pcapng.writeInterface(chunk, { name: 'eth0' });
  return chunk;
}

function taken(chunk: PcapChunk): Uint8Array {
  return chunk.bytes.slice(0, chunk.length);
}

function read(bytes: Uint8Array): PcapngFile {
  const result = readPcapng(bytes);
  assert.ok(result.ok);
  return result.value;
}
