import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ERRNO } from './errno.ts';
import { LinuxSys } from './linux.ts';
import { IP, IPV6, RAW, SOL, UDP } from './options.ts';
import { DATAGRAM_WORDS, ERROR_RECORD_WORDS, SOCKET_FAMILY, SOCKET_PROTOCOL, SOCKET_TYPE } from './sys.ts';

const sys = new LinuxSys();

/** Words of a datagram record (`DATAGRAM_WORDS`). */
const START = 0;
const LENGTH = 1;
const SEGMENT = 2;
const HOPS = 3;
const TRAFFIC_CLASS = 4;
const TRUNCATED = 5;
const ADDRESS = 6;

const bytes: Uint8Array = new Uint8Array(1024 * 1024);
const memory: number = sys.register(bytes);
const records: Int32Array = new Int32Array(200 * DATAGRAM_WORDS);
const recordMemory: number = sys.register(records);

const families = Object.entries(SOCKET_FAMILY);

function loopback(family: number, port: number = 0): Int32Array {
  return family === SOCKET_FAMILY.INET
    ? Int32Array.of(0, 0, 0xffff, 0x7f000001, port, 0)
    : Int32Array.of(0, 0, 0, 1, port, 0);
}

function succeed(result: number): number {
  assert.ok(result >= 0, `errno ${-result}`);
  return result;
}

/** A UDP socket on loopback, which asks for all control messages, and its address. */
function openUdp(family: number): { fd: number; address: Int32Array } {
  const fd = succeed(sys.socket(family, SOCKET_TYPE.DGRAM, 0));
  const address = loopback(family);
  succeed(sys.bind(fd, address));
  succeed(sys.localAddress(fd, address));
  const inet = family === SOCKET_FAMILY.INET;
  succeed(inet ? sys.setOption(fd, SOL.IP, IP.RECVTTL, 1) : sys.setOption(fd, SOL.IPV6, IPV6.RECVHOPLIMIT, 1));
  succeed(inet ? sys.setOption(fd, SOL.IP, IP.RECVTOS, 1) : sys.setOption(fd, SOL.IPV6, IPV6.RECVTCLASS, 1));
  return { fd, address };
}

/** Writes record `index` for sending: `length` bytes at `start` to `address`, everything else the socket's own. */
function writeRecord(index: number, start: number, length: number, address: Int32Array): void {
  records.set([start, length, 0, -1, -1, 0, ...address], index * DATAGRAM_WORDS);
}

function word(index: number, name: number): number {
  return records[index * DATAGRAM_WORDS + name];
}

function receiveAll(fd: number, roomBytes: number = 2048, headroom: number = 0, datagramsMax: number = 200): number {
  return sys.receiveDatagrams(fd, memory, 0, bytes.length, headroom, roomBytes, recordMemory, 0, datagramsMax);
}

describe('datagrams', () => {
  for (const [name, family] of families) {
    it(`go out and come in with hop limit, traffic class and address, ${name}`, () => {
      const near = openUdp(family);
      const far = openUdp(family);
      bytes.set([1, 2, 3, 4, 5], 5000);
      writeRecord(0, 5000, 5, far.address);
      records[HOPS] = 7;
      records[TRAFFIC_CLASS] = 0x48;
      writeRecord(1, 5001, 2, far.address);
      writeRecord(2, 5001, 0, far.address);
      assert.equal(sys.sendDatagrams(near.fd, memory, recordMemory, 0, 3), 3);

      records.fill(99);
      assert.equal(sys.receiveDatagrams(far.fd, memory, 100, 100 + 4 * 60, 42, 18, recordMemory, 12, 16), 3);
      assert.deepEqual([...records.subarray(12, 18)], [142, 5, 0, 7, 0x48, 0]);
      assert.deepEqual(records.subarray(12 + ADDRESS, 24), near.address);
      assert.deepEqual([...bytes.subarray(142, 147)], [1, 2, 3, 4, 5]);
      assert.deepEqual([...records.subarray(24, 30)], [202, 2, 0, 64, 0, 0]);
      assert.deepEqual([...bytes.subarray(202, 204)], [2, 3]);
      assert.deepEqual([word(3, START), word(3, LENGTH)], [262, 0]);
      assert.equal(receiveAll(far.fd), 0);
      sys.close(near.fd);
      sys.close(far.fd);
    });

    it(`come in batches above what one system call takes, ${name}`, () => {
      const near = openUdp(family);
      const far = openUdp(family);
      for (let i = 0; i < 150; i++) {
        bytes[i] = i;
        writeRecord(i, i, 1, far.address);
      }
      assert.equal(sys.sendDatagrams(near.fd, memory, recordMemory, 0, 150), 150);
      bytes.fill(0);
      assert.equal(receiveAll(far.fd, 10, 6, 100), 100);
      for (let i = 0; i < 100; i++) assert.deepEqual([word(i, START), bytes[word(i, START)]], [6 + i * 16, i]);
      // The rest, as far as it fits: room for 30 datagrams of 16 bytes each, and a bit.
      assert.equal(sys.receiveDatagrams(far.fd, memory, 0, 30 * 16 + 15, 6, 10, recordMemory, 0, 100), 30);
      assert.equal(bytes[word(29, START)], 129);
      assert.equal(receiveAll(far.fd), 20);
      sys.close(near.fd);
      sys.close(far.fd);
    });

    it(`are cut by UDP_SEGMENT and merged by UDP_GRO, ${name}`, () => {
      const near = openUdp(family);
      const far = openUdp(family);
      bytes.fill(7, 0, 2500);
      writeRecord(0, 0, 2500, far.address);
      records[SEGMENT] = 1000;
      records[HOPS] = 9;
      records[TRAFFIC_CLASS] = 4;
      assert.equal(sys.sendDatagrams(near.fd, memory, recordMemory, 0, 1), 1);
      assert.equal(receiveAll(far.fd), 3);
      assert.deepEqual(
        [0, 1, 2].map((i) => word(i, LENGTH)),
        [1000, 1000, 500],
      );
      assert.deepEqual(
        [0, 1, 2].map((i) => word(i, HOPS)),
        [9, 9, 9],
      );

      succeed(sys.setOption(far.fd, SOL.UDP, UDP.GRO, 1));
      writeRecord(0, 0, 2500, far.address);
      records[SEGMENT] = 1000;
      assert.equal(sys.sendDatagrams(near.fd, memory, recordMemory, 0, 1), 1);
      assert.equal(receiveAll(far.fd, 65_536), 1);
      assert.deepEqual([word(0, LENGTH), word(0, SEGMENT)], [2500, 1000]);
      sys.close(near.fd);
      sys.close(far.fd);
    });

    it(`that were refused come back in the error queue, ${name}`, () => {
      const inet = family === SOCKET_FAMILY.INET;
      const gone = openUdp(family);
      sys.close(gone.fd);
      const { fd } = openUdp(family);
      succeed(inet ? sys.setOption(fd, SOL.IP, IP.RECVERR, 1) : sys.setOption(fd, SOL.IPV6, IPV6.RECVERR, 1));
      const record = new Int32Array(ERROR_RECORD_WORDS).fill(-1);
      assert.equal(sys.receiveError(fd, memory, 0, 100, record), 0);
      bytes.set([9, 8, 7], 3000);
      writeRecord(0, 3000, 3, gone.address);
      assert.equal(sys.sendDatagrams(fd, memory, recordMemory, 0, 1), 1);

      assert.equal(sys.receiveError(fd, memory, 4000, 100, record), 1);
      // ICMP port unreachable is type 3, code 3; ICMPv6's is type 1, code 4.
      const expected = inet ? [ERRNO.ECONNREFUSED, 2, 3, 3, 0, 3] : [ERRNO.ECONNREFUSED, 3, 1, 4, 0, 3];
      assert.deepEqual([...record.subarray(0, 6)], expected);
      assert.deepEqual(record.subarray(6, 12), gone.address);
      assert.deepEqual(record.subarray(12, 16), loopback(family).subarray(0, 4));
      assert.deepEqual([...bytes.subarray(4000, 4003)], [9, 8, 7]);
      assert.equal(sys.receiveError(fd, memory, 0, 100, record), 0);
      assert.throws(() => sys.receiveError(fd, memory, 0, 100, new Int32Array(17)), RangeError);
      assert.throws(() => sys.receiveError(fd, memory, bytes.length, 1, record), RangeError);
      sys.close(fd);
    });
  }

  it('that are too long come back as a local error, with the MTU', () => {
    const { fd, address } = openUdp(SOCKET_FAMILY.INET);
    succeed(sys.setOption(fd, SOL.IP, IP.RECVERR, 1));
    succeed(sys.setOption(fd, SOL.IP, IP.MTU_DISCOVER, 2));
    writeRecord(0, 0, 65_530, address);
    assert.equal(sys.sendDatagrams(fd, memory, recordMemory, 0, 1), -ERRNO.EMSGSIZE);
    sys.close(fd);
  });

  it('are marked when truncated', () => {
    const near = openUdp(SOCKET_FAMILY.INET);
    const far = openUdp(SOCKET_FAMILY.INET);
    writeRecord(0, 0, 100, far.address);
    sys.sendDatagrams(near.fd, memory, recordMemory, 0, 1);
    assert.equal(receiveAll(far.fd, 60), 1);
    assert.deepEqual([word(0, LENGTH), word(0, TRUNCATED)], [60, 1]);
    sys.close(near.fd);
    sys.close(far.fd);
  });

  it('stop at the first that fails', () => {
    const near = openUdp(SOCKET_FAMILY.INET);
    const far = openUdp(SOCKET_FAMILY.INET);
    writeRecord(0, 0, 1, far.address);
    writeRecord(1, 0, 1, loopback(SOCKET_FAMILY.INET6, 1));
    writeRecord(2, 0, 1, far.address);
    assert.equal(sys.sendDatagrams(near.fd, memory, recordMemory, 0, 3), 1);
    assert.equal(sys.sendDatagrams(near.fd, memory, recordMemory, DATAGRAM_WORDS, 2), -ERRNO.EAFNOSUPPORT);
    assert.equal(sys.sendDatagrams(-1, memory, recordMemory, 0, 1), -ERRNO.EBADF);
    assert.equal(receiveAll(-1), -ERRNO.EBADF);
    sys.close(near.fd);
    sys.close(far.fd);
  });

  it('take no range that is not inside', () => {
    const send = (at: number, count: number): number => sys.sendDatagrams(-1, memory, recordMemory, at, count);
    for (const [at, count] of [
      [0, 201],
      [1, 200],
      [-1, 1],
      [0, -1],
      [0, 2 ** 31 - 1],
    ] as const) {
      assert.throws(() => send(at, count), RangeError);
      assert.throws(() => sys.receiveDatagrams(-1, memory, 0, 100, 0, 10, recordMemory, at, count), RangeError);
    }
    for (const [start, length] of [
      [-1, 1],
      [bytes.length, 1],
      [0, -1],
      [1, 2 ** 31 - 1],
    ] as const) {
      writeRecord(0, start, length, loopback(SOCKET_FAMILY.INET, 9));
      assert.throws(() => send(0, 1), RangeError);
    }
    const ranges = [
      [0, bytes.length + 1, 0, 10],
      [-1, 10, 0, 10],
      [11, 10, 0, 10],
      [0, 10, -1, 10],
      [0, 10, 0, 0],
      [0, 10, 2 ** 31 - 1, 2 ** 31 - 1],
    ] as const;
    for (const [at, end, headroom, room] of ranges) {
      assert.throws(() => sys.receiveDatagrams(-1, memory, at, end, headroom, room, recordMemory, 0, 1), RangeError);
    }
  });
});

describe('raw sockets', () => {
  it('filter ICMP types', (context) => {
    const fd = sys.socket(SOCKET_FAMILY.INET, SOCKET_TYPE.RAW, SOCKET_PROTOCOL.ICMP);
    if (fd === -ERRNO.EPERM) {
      context.skip('raw sockets need CAP_NET_RAW');
      return;
    }
    succeed(fd);
    assert.equal(sys.setOption(fd, SOL.RAW, RAW.ICMP_FILTER, ~(1 << 11)), 0);
    assert.equal(sys.getOption(fd, SOL.RAW, RAW.ICMP_FILTER), ~(1 << 11));
    sys.close(fd);
    const fd6 = succeed(sys.socket(SOCKET_FAMILY.INET6, SOCKET_TYPE.RAW, SOCKET_PROTOCOL.ICMPV6));
    sys.close(fd6);
  });
});
