import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Random } from '../base/random.ts';
import { ERRNO } from './errno.ts';
import { IP, SO, SOL, UDP } from './options.ts';
import { echoService, pingService } from './simulated/datagram-service.ts';
import { endpoint, endpointText, readEndpoint, writeEndpoint } from './simulated/endpoint.ts';
import { SimulatedSys } from './simulated.ts';
import {
  DATAGRAM_WORDS,
  ERROR_RECORD_WORDS,
  POLL,
  POLL_OPERATION,
  SHUTDOWN,
  SOCKET_ADDRESS_WORDS,
  SOCKET_FAMILY,
  SOCKET_PROTOCOL,
  SOCKET_TYPE,
} from './sys.ts';

const SERVER = '198.51.100.7';
const EDGE_ALL = POLL.IN | POLL.OUT | POLL.RDHUP | POLL.EDGE;

/** A system, one memory of bytes and one of words, and short names for calls. */
function bench(options: ConstructorParameters<typeof SimulatedSys>[0] = {}) {
  const sys = new SimulatedSys(options);
  const bytes = new Uint8Array(1 << 20);
  const words = new Int32Array(4096);
  const memory = sys.register(bytes);
  const vector = sys.register(words);
  const poll = sys.pollCreate();
  const events = new Int32Array(64);
  return {
    sys,
    bytes,
    words,
    memory,
    vector,
    poll,
    stream: (): number => sys.socket(SOCKET_FAMILY.INET, SOCKET_TYPE.STREAM, 0),
    datagram: (): number => sys.socket(SOCKET_FAMILY.INET, SOCKET_TYPE.DGRAM, 0),
    connect: (fd: number, address: string, port: number): number => sys.connect(fd, socketAddress(address, port)),
    send(fd: number, payload: Uint8Array): number {
      bytes.set(payload);
      words.set([memory, 0, payload.length]);
      return sys.sendVector(fd, vector, 0, 1, false);
    },
    watch: (fd: number, interest: number, token: number = fd): number =>
      sys.pollControl(poll, POLL_OPERATION.ADD, fd, interest, token),
    /** What is ready, as token -> events. */
    collect(): Map<number, number> {
      const count = sys.pollCollect(poll, events, 32, 0);
      return new Map(Array.from({ length: count }, (_, i) => [events[2 * i + 1]!, events[2 * i]!]));
    },
  };
}

function socketAddress(address: string, port: number): Int32Array {
  const words = new Int32Array(SOCKET_ADDRESS_WORDS);
  writeEndpoint(words, 0, endpoint(address, port));
  return words;
}

function connected(options: ConstructorParameters<typeof SimulatedSys>[0] = {}, service = {}) {
  const b = bench(options);
  b.sys.network.stream(SERVER, 80, service);
  const fd = b.stream();
  assert.equal(b.connect(fd, SERVER, 80), -ERRNO.EINPROGRESS);
  b.sys.advance(0);
  return { ...b, fd, peer: b.sys.network.peers[0]! };
}

test('a connect ends as its destination says, and not before', () => {
  const b = bench();
  b.sys.network.stream(SERVER, 80, { connectDelayUs: 500 });
  b.sys.network.stream(SERVER, 81, { outcome: 'unreachable', connectDelayUs: 500 });
  b.sys.network.stream(SERVER, 82, { outcome: 'no-route' });
  const [open, unreachable, routeless, refused] = [b.stream(), b.stream(), b.stream(), b.stream()] as const;
  for (const fd of [open, unreachable, refused]) b.watch(fd, EDGE_ALL);
  b.collect();
  assert.equal(b.connect(open, SERVER, 80), -ERRNO.EINPROGRESS);
  assert.equal(b.connect(open, SERVER, 80), -ERRNO.EALREADY);
  assert.equal(b.connect(unreachable, SERVER, 81), -ERRNO.EINPROGRESS);
  assert.equal(b.connect(routeless, SERVER, 82), -ERRNO.ENETUNREACH);
  assert.equal(b.connect(refused, SERVER, 9), -ERRNO.EINPROGRESS);
  assert.equal(b.collect().size, 0);
  b.sys.advance(0);
  assert.equal(b.sys.getOption(refused, SOL.SOCKET, SO.ERROR), ERRNO.ECONNREFUSED);
  assert.equal(b.sys.getOption(refused, SOL.SOCKET, SO.ERROR), 0);
  b.sys.advance(499);
  assert.deepEqual([...b.collect().keys()], [refused]);
  b.sys.advance(1);
  const ready = b.collect();
  assert.equal(ready.get(open), POLL.OUT);
  assert.ok(ready.get(unreachable)! & POLL.ERR && ready.get(unreachable)! & POLL.HUP);
  assert.equal(b.connect(open, SERVER, 80), -ERRNO.EISCONN);
});

test('bytes and ends cross in both directions', () => {
  const { sys, bytes, memory, fd, peer, send } = connected({}, { echo: true });
  assert.equal(send(fd, Uint8Array.of(1, 2, 3)), 3);
  assert.equal(sys.shutdown(fd, SHUTDOWN.WRITE), 0);
  assert.equal(send(fd, Uint8Array.of(4)), -ERRNO.EPIPE);
  assert.equal(sys.receive(fd, memory, 0, 100), -ERRNO.EAGAIN);
  sys.advance(0);
  assert.ok(peer.sawEnd);
  assert.equal(sys.receive(fd, memory, 0, 100), 3);
  assert.deepEqual([...bytes.subarray(0, 3)], [1, 2, 3]);
  assert.equal(sys.receive(fd, memory, 0, 100), 0);
  assert.equal(sys.descriptor(fd)!.readiness(), POLL.IN | POLL.OUT | POLL.HUP | POLL.RDHUP);
});

test('a peek offset moves on with peeks and back with discards', () => {
  const { sys, bytes, memory, fd, peer } = connected();
  assert.equal(sys.setOption(fd, SOL.SOCKET, SO.PEEK_OFF, 0), 0);
  peer.send(Uint8Array.of(1, 2, 3, 4, 5, 6));
  sys.advance(0);
  assert.equal(sys.peek(fd, memory, 0, 4, -1, -1), 4);
  assert.equal(sys.peek(fd, memory, 0, 4, -1, -1), 2);
  assert.deepEqual([...bytes.subarray(0, 2)], [5, 6]);
  assert.equal(sys.peek(fd, memory, 0, 4, -1, -1), -ERRNO.EAGAIN);
  assert.equal(sys.discard(fd, 5), 5);
  assert.equal(sys.getOption(fd, SOL.SOCKET, SO.PEEK_OFF), 1);
  peer.send(Uint8Array.of(7));
  peer.end();
  sys.advance(0);
  assert.equal(sys.peek(fd, memory, 0, 4, -1, -1), 1);
  assert.equal(bytes[0], 7);
  assert.equal(sys.peek(fd, memory, 0, 4, -1, -1), 0, 'the end is seen behind the last byte');
  assert.equal(sys.setOption(fd, SOL.SOCKET, SO.PEEK_OFF, 0), 0);
  assert.equal(sys.peek(fd, memory, 0, 4, -1, -1), 2, 'set back, the same bytes come again');
});

test('a kernel without peek offset says so, and peeks behind what it skips', () => {
  const { sys, bytes, memory, fd, peer } = connected({ peekOffset: false });
  assert.equal(sys.setOption(fd, SOL.SOCKET, SO.PEEK_OFF, 0), -ERRNO.ENOPROTOOPT);
  peer.send(Uint8Array.of(1, 2, 3, 4));
  sys.advance(0);
  const scratch = sys.register(new Uint8Array(8));
  assert.equal(sys.peek(fd, memory, 0, 9, 3, scratch), 1);
  assert.equal(bytes[0], 4);
  assert.throws(() => sys.peek(fd, memory, 0, 9, 9, scratch), RangeError);
});

test('a full send buffer writes short, then not at all, and tells when a third is free again', () => {
  const { sys, fd, peer, send, watch, collect } = connected(
    { sendBytesMax: 3000 },
    { reading: 'manual', receiveBytesMax: 1000 },
  );
  assert.equal(watch(fd, EDGE_ALL), 0);
  assert.equal(collect().get(fd), POLL.OUT);
  assert.equal(send(fd, new Uint8Array(4000)), 3000);
  assert.equal(send(fd, new Uint8Array(1)), -ERRNO.EAGAIN);
  sys.advance(0);
  assert.equal(peer.unreadBytes, 1000);
  assert.equal(collect().get(fd), POLL.OUT);
  assert.equal(collect().size, 0, 'an edge is told once');
  peer.read();
  sys.advance(0);
  assert.equal(collect().size, 0, 'nobody found it full since');
});

test('edges come again with new data, levels stay', () => {
  const { sys, memory, fd, peer, watch, collect } = connected();
  watch(fd, POLL.IN | POLL.EDGE);
  const level = sys.pollCreate();
  sys.pollControl(level, POLL_OPERATION.ADD, fd, POLL.IN, 7);
  const events = new Int32Array(8);
  peer.send(Uint8Array.of(1));
  sys.advance(0);
  assert.deepEqual([...collect()], [[fd, POLL.IN]]);
  assert.equal(collect().size, 0);
  assert.equal(sys.pollCollect(level, events, 4, 0), 1);
  assert.equal(sys.pollCollect(level, events, 4, 0), 1);
  assert.equal(events[1], 7);
  peer.send(Uint8Array.of(2));
  sys.advance(0);
  assert.deepEqual([...collect()], [[fd, POLL.IN]]);
  assert.equal(sys.receive(fd, memory, 0, 100), 2);
  assert.equal(sys.pollCollect(level, events, 4, 0), 0);
});

test('a reset: what arrived is readable, the error comes once, then the end', () => {
  const { sys, memory, fd, peer, send } = connected();
  peer.send(Uint8Array.of(1, 2));
  sys.advance(0);
  peer.reset();
  sys.advance(0);
  assert.ok(sys.descriptor(fd)!.readiness() & POLL.ERR);
  assert.equal(sys.receive(fd, memory, 0, 100), 2);
  assert.equal(sys.receive(fd, memory, 0, 100), -ERRNO.ECONNRESET);
  assert.equal(sys.receive(fd, memory, 0, 100), 0);
  assert.equal(send(fd, Uint8Array.of(1)), -ERRNO.EPIPE);
});

test('closing delivers what was written, or resets: with linger 0, with unread bytes, and when data comes later', () => {
  for (const how of ['plain', 'linger', 'unread', 'later'] as const) {
    const { sys, fd, peer, send } = connected();
    send(fd, Uint8Array.of(1, 2, 3));
    if (how === 'linger') sys.setOption(fd, SOL.SOCKET, SO.LINGER, 0);
    if (how === 'unread') {
      peer.send(Uint8Array.of(9));
      sys.advance(0);
    }
    sys.close(fd);
    sys.advance(0);
    if (how === 'later') {
      peer.send(Uint8Array.of(9));
      sys.advance(0);
    }
    assert.equal(peer.state, how === 'plain' ? 'connected' : 'reset', how);
    assert.equal(peer.received.length, how === 'linger' ? 0 : 3, how);
    assert.equal(peer.sawEnd, how === 'plain' || how === 'later', how);
  }
});

test('a listening socket is called, and sockets of its own come out of accept', () => {
  const { sys, memory, bytes, watch, collect, stream } = bench();
  const listener = stream();
  sys.setOption(listener, SOL.SOCKET, SO.REUSEADDR, 1);
  assert.equal(sys.bind(listener, socketAddress('0.0.0.0', 8080)), 0);
  assert.equal(sys.listen(listener, 16), 0);
  const second = stream();
  assert.equal(sys.bind(second, socketAddress('127.0.0.1', 8080)), -ERRNO.EADDRINUSE);
  watch(listener, POLL.IN);
  const to = endpoint('192.0.2.2', 8080);
  const caller = sys.network.call(to, endpoint('203.0.113.5', 4000), {
    onConnect: (peer) => peer.send(Uint8Array.of(5)),
  });
  const lost = sys.network.call(endpoint('192.0.2.2', 8081), endpoint('203.0.113.5', 4001));
  sys.advance(0);
  assert.equal(lost.state, 'refused');
  assert.equal(caller.state, 'connected');
  assert.equal(collect().get(listener), POLL.IN);
  const from = new Int32Array(SOCKET_ADDRESS_WORDS);
  const accepted = sys.accept(listener, from);
  assert.equal(endpointText(readEndpoint(from, 0)), '203.0.113.5:4000');
  sys.localAddress(accepted, from);
  assert.equal(endpointText(readEndpoint(from, 0)), '192.0.2.2:8080');
  assert.equal(sys.accept(listener, from), -ERRNO.EAGAIN);
  sys.advance(0);
  assert.equal(sys.receive(accepted, memory, 0, 10), 1);
  assert.equal(bytes[0], 5);
});

test('a slow reader takes what its rate says', () => {
  const { sys, fd, peer, send } = connected({}, { reading: 100_000 });
  send(fd, new Uint8Array(50_000));
  sys.advance(100_000);
  assert.ok(Math.abs(peer.receivedBytes - 10_000) <= 200, `${peer.receivedBytes}`);
  sys.advance(1_000_000);
  assert.equal(peer.receivedBytes, 50_000);
});

test('every written byte arrives once and in order, whatever is short or failing', () => {
  const odds = { again: 0.2, short: 0.5, noBuffers: 0.1 };
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 1, max: 5000 }), (seed, length) => {
      const payload = new Random(seed).fill(new Uint8Array(length));
      const c = connected(
        { seed, sendBytesMax: 700, receiveBytesMax: 900, latencyUs: 0, faults: { sendVector: odds, receive: odds } },
        { echo: true, receiveBytesMax: 300 },
      );
      const back: number[] = [];
      let sent = 0;
      c.watch(c.fd, EDGE_ALL);
      // Driven by edges alone: a fault that told nobody would hang here.
      for (let rounds = 0; back.length < payload.length && rounds < 20_000; rounds++) {
        const ready = c.collect().get(c.fd) ?? 0;
        while (ready & POLL.OUT && sent < payload.length) {
          const count = c.send(c.fd, payload.subarray(sent, sent + 600));
          if (count < 0) break;
          sent += count;
        }
        while (ready & POLL.IN) {
          const count = c.sys.receive(c.fd, c.memory, 0, 256);
          if (count <= 0) break;
          back.push(...c.bytes.subarray(0, count));
        }
        c.sys.advance(1000);
      }
      assert.deepEqual(Uint8Array.from(back), payload);
    }),
    { numRuns: 30 },
  );
});

test('datagrams are cut, echoed, merged, and refused where nobody is', () => {
  const b = bench();
  b.sys.network.datagram(SERVER, 53, echoService);
  const fd = b.datagram();
  b.sys.setOption(fd, SOL.UDP, UDP.GRO, 1);
  b.sys.setOption(fd, SOL.IP, IP.RECVERR, 1);
  writeDatagram(b.words, { bytes: 250, segment: 100, ttl: -1, address: SERVER, port: 53 });
  assert.equal(b.sys.sendDatagrams(fd, b.memory, b.vector, 0, 1), 1);
  assert.equal(b.sys.receiveDatagrams(fd, b.memory, 0, 65536, 64, 2048, b.vector, 0, 8), 0);
  b.sys.advance(0);
  assert.equal(b.sys.receiveDatagrams(fd, b.memory, 0, 65536, 64, 2048, b.vector, 0, 8), 1);
  assert.deepEqual([...b.words.subarray(0, 4)], [64, 250, 100, 64]);
  assert.equal(endpointText(readEndpoint(b.words, 6)), `${SERVER}:53`);

  writeDatagram(b.words, { bytes: 5, segment: 0, ttl: -1, address: SERVER, port: 9 });
  assert.equal(b.sys.sendDatagrams(fd, b.memory, b.vector, 0, 1), 1);
  b.sys.advance(0);
  assert.ok(b.sys.descriptor(fd)!.readiness() & POLL.ERR);
  assert.equal(b.sys.sendDatagrams(fd, b.memory, b.vector, 0, 1), -ERRNO.ECONNREFUSED, 'once');
  const record = new Int32Array(ERROR_RECORD_WORDS);
  assert.equal(b.sys.receiveError(fd, b.memory, 0, 64, record), 1);
  assert.deepEqual([...record.subarray(0, 6)], [ERRNO.ECONNREFUSED, 2, 3, 3, 0, 5]);
  assert.equal(endpointText(readEndpoint(record, 6)), `${SERVER}:9`);
  assert.equal(b.sys.receiveError(fd, b.memory, 0, 64, record), 0);
  assert.equal(b.sys.descriptor(fd)!.readiness(), POLL.OUT);
});

test('a hop limit ends at its router', () => {
  const b = bench();
  b.sys.network.ping(SERVER, { ...pingService, routers: ['10.1.1.1', '10.2.2.2'] });
  const fd = b.sys.socket(SOCKET_FAMILY.INET, SOCKET_TYPE.DGRAM, SOCKET_PROTOCOL.ICMP);
  b.sys.setOption(fd, SOL.IP, IP.RECVERR, 1);
  b.bytes.set([8, 0, 0, 0, 0, 0, 0, 1]);
  writeDatagram(b.words, { bytes: 8, segment: 0, ttl: 2, address: SERVER, port: 0 });
  assert.equal(b.sys.sendDatagrams(fd, b.memory, b.vector, 0, 1), 1);
  b.sys.advance(0);
  const record = new Int32Array(ERROR_RECORD_WORDS);
  assert.equal(b.sys.receiveError(fd, b.memory, 64, 64, record), 1);
  assert.deepEqual([...record.subarray(1, 4)], [2, 11, 0]);
  assert.equal(endpointText(readEndpoint(record, 12)), '10.2.2.2:0');
});

test('a ping socket sets its port as identifier and takes nothing but echo requests', () => {
  const b = bench();
  b.sys.network.ping('*', pingService);
  const fd = b.sys.socket(SOCKET_FAMILY.INET, SOCKET_TYPE.DGRAM, SOCKET_PROTOCOL.ICMP);
  assert.equal(b.sys.bind(fd, socketAddress('0.0.0.0', 77)), 0);
  b.bytes.set([8, 0, 0, 0, 0xaa, 0xaa, 0, 3, 1]);
  writeDatagram(b.words, { bytes: 9, segment: 0, ttl: -1, address: SERVER, port: 0 });
  assert.equal(b.sys.sendDatagrams(fd, b.memory, b.vector, 0, 1), 1);
  b.bytes[0] = 3;
  assert.equal(b.sys.sendDatagrams(fd, b.memory, b.vector, 0, 1), -ERRNO.EINVAL);
  b.sys.advance(0);
  assert.equal(b.sys.receiveDatagrams(fd, b.memory, 0, 4096, 0, 2048, b.vector, 0, 4), 1);
  const message = b.bytes.slice(0, 9);
  assert.deepEqual([message[0], message[4], message[5], message[7], message[8]], [0, 0, 77, 3, 1]);
  let sum = 0;
  for (let at = 0; at < 9; at++) sum += at & 1 ? message[at]! : message[at]! << 8;
  assert.equal(((sum & 0xffff) + (sum >> 16)) & 0xffff, 0xffff, 'its checksum is right');
});

test('frames go through a device, one behind another at multiples of 4, and errors come when asked for', () => {
  const { sys, bytes, words, memory, vector, watch, collect } = bench();
  const device = sys.device({ outboundFramesMax: 2 });
  watch(device.fd, POLL.IN);
  device.send(Uint8Array.of(1, 2, 3, 4, 5));
  device.send(Uint8Array.of(6));
  device.failReads(ERRNO.EIO);
  assert.equal(collect().get(device.fd), POLL.IN);
  assert.equal(sys.readFrames(device.fd, memory, 2, 4096, 100, vector, 0, 16), -ERRNO.EIO);
  assert.equal(sys.readFrames(device.fd, memory, 2, 4096, 100, vector, 0, 16), 2);
  assert.deepEqual([...words.subarray(0, 4)], [4, 5, 12, 1]);
  assert.equal(bytes[12], 6);
  assert.equal(sys.readFrames(device.fd, memory, 0, 4096, 100, vector, 0, 16), 0);
  device.send(Uint8Array.of(1, 2, 3, 4, 5));
  device.send(Uint8Array.of(6));
  assert.equal(sys.readFrames(device.fd, memory, 2, 4096, 100, vector, 0, 16, 14), 2);
  assert.deepEqual([...words.subarray(0, 4)], [18, 5, 38, 1], 'with room in front of each');
  bytes.set([1, 2, 3, 4, 5], 4);
  bytes[12] = 6;
  words.set([4, 5, 12, 1, 4, 1]);
  device.failWrites(ERRNO.ENOBUFS);
  assert.equal(sys.writeFrames(device.fd, memory, vector, 0, 3), -ERRNO.ENOBUFS);
  assert.equal(sys.writeFrames(device.fd, memory, vector, 0, 3), 2);
  assert.equal(sys.writeFrames(device.fd, memory, vector, 4, 1), -ERRNO.EAGAIN);
  assert.deepEqual(device.receive(), [Uint8Array.of(1, 2, 3, 4, 5), Uint8Array.of(6)]);
});

test('a timer is readable from its moment until it is read', () => {
  const { sys, memory, bytes, watch, collect } = bench();
  const timer = sys.timerCreate();
  watch(timer, POLL.IN, 99);
  sys.timerSet(timer, 1000);
  sys.advance(999);
  assert.equal(collect().size, 0);
  sys.advance(1);
  assert.equal(collect().get(99), POLL.IN);
  assert.equal(sys.read(timer, memory, 0, 8), 8);
  assert.equal(bytes[0], 1);
  assert.equal(sys.read(timer, memory, 0, 8), -ERRNO.EAGAIN);
  sys.timerSet(timer, 10);
  sys.timerSet(timer, 0);
  sys.advance(100);
  assert.equal(collect().size, 0);
});

test('numbers are reused lowest first, closing leaves every poll set, and what stays open is named', () => {
  const { sys, poll, stream, watch, collect } = bench();
  const [first, second] = [stream(), stream()];
  watch(first, POLL.OUT);
  sys.close(first);
  assert.equal(collect().size, 0);
  assert.equal(sys.close(first), -ERRNO.EBADF);
  assert.equal(stream(), first);
  assert.deepEqual(sys.openDescriptors(), [`${poll} poll`, `${first} stream`, `${second} stream`]);
});

test('a wrong memory is our own bug, and throws', () => {
  const { sys, memory, fd } = connected();
  assert.throws(() => sys.receive(fd, 17, 0, 1), RangeError);
  assert.throws(() => sys.receive(fd, memory, (1 << 20) - 1, 2), RangeError);
  assert.throws(() => sys.sendVector(fd, memory, 0, 1, false), RangeError);
});

interface Datagram {
  readonly bytes: number;
  readonly segment: number;
  readonly ttl: number;
  readonly address: string;
  readonly port: number;
}

function writeDatagram(words: Int32Array, datagram: Datagram): void {
  words.set([0, datagram.bytes, datagram.segment, datagram.ttl, -1, 0]);
  writeEndpoint(words, DATAGRAM_WORDS - SOCKET_ADDRESS_WORDS, endpoint(datagram.address, datagram.port));
}
