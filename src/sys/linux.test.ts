import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import { ERRNO } from './errno.ts';
import { LinuxSys } from './linux.ts';
import { SO, SOL, TCP } from './options.ts';
import { POLL, POLL_OPERATION, SHUTDOWN, SOCKET_FAMILY, SOCKET_TYPE, TCP_INFO_WORDS } from './sys.ts';

const sys = new LinuxSys();

/** A state of TCP_INFO (net/tcp_states.h). */
const TCP_ESTABLISHED = 1;

function loopback(family: number, port: number = 0): Int32Array {
  return family === SOCKET_FAMILY.INET
    ? Int32Array.of(0, 0, 0xffff, 0x7f000001, port, 0)
    : Int32Array.of(0, 0, 0, 1, port, 0);
}

function succeed(result: number): number {
  assert.ok(result >= 0, `errno ${-result}`);
  return result;
}

interface Pair {
  readonly near: number;
  readonly far: number;
}

/** Two ends of a TCP connection over loopback. */
function connectedPair(family: number = SOCKET_FAMILY.INET): Pair {
  const listener = succeed(sys.socket(family, SOCKET_TYPE.STREAM, 0));
  const address = loopback(family);
  succeed(sys.bind(listener, address));
  succeed(sys.listen(listener, 8));
  succeed(sys.localAddress(listener, address));
  const near = succeed(sys.socket(family, SOCKET_TYPE.STREAM, 0));
  assert.equal(sys.connect(near, address), -ERRNO.EINPROGRESS);
  const peer = new Int32Array(6);
  const far = succeed(sys.accept(listener, peer));
  assert.equal(sys.getOption(near, SOL.SOCKET, SO.ERROR), 0);
  const local = new Int32Array(6);
  succeed(sys.localAddress(near, local));
  assert.deepEqual(peer, local);
  sys.close(listener);
  return { near, far };
}

function closePair(pair: Pair): void {
  assert.equal(sys.close(pair.near), 0);
  assert.equal(sys.close(pair.far), 0);
}

const bytes: Uint8Array = new Uint8Array(256 * 1024);
const memory: number = sys.register(bytes);
const vector: Int32Array = new Int32Array(64);
const vectorMemory: number = sys.register(vector);
const scratch: number = sys.register(new Uint8Array(64));

/** Sends text, waits for nothing: over loopback it has arrived when the call returns. */
function sendText(fd: number, text: string): void {
  const start = 200_000;
  vector[0] = memory;
  vector[1] = start;
  vector[2] = new TextEncoder().encodeInto(text, bytes.subarray(start)).written;
  assert.equal(sys.sendVector(fd, vectorMemory, 0, 1, false), text.length);
}

function text(at: number, length: number): string {
  return new TextDecoder().decode(bytes.subarray(at, at + length));
}

function peekText(fd: number, length: number, skip: number): string {
  const count = succeed(sys.peek(fd, memory, 0, length, skip, scratch));
  return text(0, count);
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

describe('memories', () => {
  it('gives small ids and uses a free one again', () => {
    const first = sys.register(new Uint8Array(8));
    const second = sys.register(new Int32Array(8));
    assert.equal(second, first + 1);
    sys.unregister(first);
    assert.equal(sys.register(new Uint8Array(8)), first);
    sys.unregister(first);
    sys.unregister(second);
    assert.throws(() => sys.unregister(first), RangeError);
  });

  it('refuses what is no memory', () => {
    assert.throws(() => sys.register(new Uint8Array(0)), RangeError);
    assert.throws(() => sys.register(new Float64Array(1) as unknown as Int32Array), TypeError);
    assert.throws(() => sys.register('text' as unknown as Int32Array), TypeError);
    for (const id of [-1, 4095, 2 ** 31 - 1]) assert.throws(() => sys.unregister(id), RangeError);
  });

  it('takes no range that is not inside', () => {
    const id = sys.register(new Uint8Array(16));
    const ranges = [
      [0, 17],
      [16, 1],
      [17, 0],
      [-1, 1],
      [0, -1],
      [2 ** 31 - 1, 2 ** 31 - 1],
      [8, 2 ** 31 - 1],
      [-(2 ** 31), 1],
    ] as const;
    for (const [at, length] of ranges) {
      assert.throws(() => sys.read(-1, id, at, length), RangeError);
      assert.throws(() => sys.write(-1, id, at, length), RangeError);
      assert.throws(() => sys.receive(-1, id, at, length), RangeError);
      assert.throws(() => sys.peek(-1, id, at, length, -1, -1), RangeError);
    }
    assert.equal(sys.read(-1, id, 16, 0), -ERRNO.EBADF);
    assert.equal(sys.read(-1, id, 0, 16), -ERRNO.EBADF);
    sys.unregister(id);
    assert.throws(() => sys.read(-1, id, 0, 16), RangeError);
  });

  it('takes no vector that is not inside, nor a piece', () => {
    const call = (at: number, count: number): number => sys.sendVector(-1, vectorMemory, at, count, false);
    vector.fill(0);
    for (let word = 0; word < vector.length; word += 3) vector[word] = memory;
    assert.equal(call(0, 21), -ERRNO.EBADF);
    for (const [at, count] of [
      [0, 33],
      [63, 1],
      [-1, 1],
      [0, -1],
      [0, 2 ** 31 - 1],
    ] as const) {
      assert.throws(() => call(at, count), RangeError);
      assert.throws(() => sys.writeFrames(-1, memory, vectorMemory, at, count), RangeError);
      assert.throws(() => sys.readFrames(-1, memory, 0, 1000, 100, vectorMemory, at, count), RangeError);
    }
    for (const piece of [
      [-1, 1],
      [0, bytes.length + 1],
      [bytes.length, 1],
      [1, -1],
    ] as const) {
      vector.set([memory, ...piece]);
      assert.throws(() => call(0, 1), RangeError);
      vector.set(piece);
      assert.throws(() => sys.writeFrames(-1, memory, vectorMemory, 0, 1), RangeError);
    }
    vector.set([9999, 0, 1]);
    assert.throws(() => call(0, 1), RangeError, 'no such memory');
    assert.throws(() => sys.sendVector(-1, memory, 0, 1, false), RangeError, 'a vector is an Int32Array');
  });

  it('refuses arguments of the wrong kind', () => {
    assert.throws(() => sys.close('1' as unknown as number), TypeError);
    assert.throws(() => (sys.read as (fd: number) => number)(0), TypeError);
    assert.throws(() => sys.bind(-1, new Int32Array(5)), RangeError);
    assert.throws(() => sys.bind(-1, new Uint8Array(64) as unknown as Int32Array), TypeError);
  });

  it('stay alive until they are unregistered, though nobody else mentions them', () => {
    const script = `
      const { LinuxSys } = await import(${JSON.stringify(new URL('./linux.js', import.meta.url).href)});
      const sys = new LinuxSys();
      const turn = () => new Promise((done) => setImmediate(done));
      let id, weak;
      (() => { const a = new Uint8Array(1 << 20).fill(0x5a); weak = new WeakRef(a); id = sys.register(a); })();
      const collect = async () => { for (let i = 0; i < 4; i++) { gc(); await turn(); new Uint8Array(1 << 20).fill(1); } };
      await collect();
      if (weak.deref() === undefined) throw new Error('collected while registered');
      weak.deref().fill(0x5b, 4096, 8192);
      await collect();
      if (sys.write(1, id, 4096, 4) !== 4) throw new Error('not written');
      sys.unregister(id);
      await collect();
      if (weak.deref() !== undefined) throw new Error('not collected after unregister');
    `;
    const child = spawnSync(process.execPath, ['--expose-gc', '--input-type=module', '-e', script], {
      encoding: 'utf8',
    });
    assert.equal(child.stderr, '');
    assert.equal(child.stdout, '[[[[');
    assert.equal(child.status, 0);
  });
});

describe('sockets', () => {
  for (const [name, family] of Object.entries(SOCKET_FAMILY)) {
    it(`connect and name both ends, ${name}`, () => {
      const pair = connectedPair(family);
      const near = new Int32Array(6);
      const far = new Int32Array(6);
      assert.equal(sys.localAddress(pair.near, near), 0);
      assert.equal(sys.peerAddress(pair.far, far), 0);
      assert.deepEqual(near, far);
      assert.deepEqual(near.subarray(0, 4), loopback(family).subarray(0, 4));
      assert.ok(near[4] > 0 && near[4] < 65_536);
      closePair(pair);
    });

    it(`tell how a connection failed, ${name}`, () => {
      const unused = succeed(sys.socket(family, SOCKET_TYPE.STREAM, 0));
      const address = loopback(family);
      succeed(sys.bind(unused, address));
      succeed(sys.localAddress(unused, address));
      const fd = succeed(sys.socket(family, SOCKET_TYPE.STREAM, 0));
      assert.equal(sys.connect(fd, address), -ERRNO.EINPROGRESS);
      assert.equal(sys.getOption(fd, SOL.SOCKET, SO.ERROR), ERRNO.ECONNREFUSED);
      assert.equal(sys.getOption(fd, SOL.SOCKET, SO.ERROR), 0);
      assert.equal(sys.bind(fd, address), -ERRNO.EADDRINUSE);
      sys.close(fd);
      sys.close(unused);
    });
  }

  it('are close-on-exec, non-blocking, and IPv6 alone when IPv6', () => {
    const listener = succeed(sys.socket(SOCKET_FAMILY.INET6, SOCKET_TYPE.STREAM, 0));
    assert.equal(sys.getOption(listener, SOL.IPV6, 26 /* IPV6_V6ONLY */), 1);
    succeed(sys.bind(listener, loopback(SOCKET_FAMILY.INET6)));
    succeed(sys.listen(listener, 1));
    assert.equal(sys.accept(listener, new Int32Array(6)), -ERRNO.EAGAIN);
    const child = spawnSync('ls', [`/proc/self/fd/${listener}`]);
    assert.notEqual(child.status, 0);
    sys.close(listener);
  });

  it('set and get options, linger among them', () => {
    const pair = connectedPair();
    assert.equal(sys.setOption(pair.near, SOL.TCP, TCP.NODELAY, 1), 0);
    assert.equal(sys.getOption(pair.near, SOL.TCP, TCP.NODELAY), 1);
    assert.equal(sys.setOption(pair.near, SOL.TCP, 9999, 1), -ERRNO.ENOPROTOOPT);
    assert.equal(sys.getOption(pair.near, SOL.TCP, 9999), -ERRNO.ENOPROTOOPT);
    // Off, then on for 0 seconds: closing sends RST.
    assert.equal(sys.setOption(pair.near, SOL.SOCKET, SO.LINGER, -1), 0);
    assert.equal(sys.setOption(pair.near, SOL.SOCKET, SO.LINGER, 0), 0);
    sys.close(pair.near);
    assert.equal(sys.receive(pair.far, memory, 0, 1), -ERRNO.ECONNRESET);
    sys.close(pair.far);
  });

  it('report TCP_INFO', () => {
    const pair = connectedPair();
    const info = new Int32Array(TCP_INFO_WORDS);
    assert.equal(sys.tcpInfo(pair.near, info), 0);
    assert.equal(info[0], TCP_ESTABLISHED);
    assert.ok(info[1] > 0 && info[1] < 1_000_000, `RTT ${info[1]} us`);
    assert.ok(info[4] <= 14 && info[5] >= 536 && info[6] === 0 && info[7] > 0);
    assert.throws(() => sys.tcpInfo(pair.near, new Int32Array(TCP_INFO_WORDS - 1)), RangeError);
    assert.equal(sys.tcpInfo(-1, info), -ERRNO.EBADF);
    closePair(pair);
  });
});

describe('streams', () => {
  it('send pieces in order, and receive them', () => {
    const pair = connectedPair();
    bytes.set(new TextEncoder().encode('ab'), 100);
    const other = sys.register(new TextEncoder().encode('cde'));
    vector.set([memory, 100, 2, other, 0, 3, memory, 100, 0], 2);
    assert.equal(sys.sendVector(pair.near, vectorMemory, 2, 3, false), 5);
    sys.unregister(other);
    assert.equal(sys.receive(pair.far, memory, 0, 100), 5);
    assert.equal(text(0, 5), 'abcde');
    assert.equal(sys.receive(pair.far, memory, 0, 100), -ERRNO.EAGAIN);
    assert.equal(sys.shutdown(pair.near, SHUTDOWN.WRITE), 0);
    assert.equal(sys.receive(pair.far, memory, 0, 100), 0);
    assert.equal(sys.sendVector(pair.near, vectorMemory, 2, 1, false), -ERRNO.EPIPE);
    assert.equal(sys.shutdown(-1, SHUTDOWN.BOTH), -ERRNO.EBADF);
    closePair(pair);
  });

  it('peek at bytes into several memories, with and without what is skipped', () => {
    const pair = connectedPair();
    sendText(pair.near, 'abcdefgh');
    const other = new Uint8Array(4);
    const otherMemory = sys.register(other);
    vector.set([memory, 10, 2, otherMemory, 1, 3, memory, 20, 100], 3);
    assert.equal(sys.peekVector(pair.far, vectorMemory, 3, 3, 0, -1), 8);
    assert.deepEqual([text(10, 2), new TextDecoder().decode(other.subarray(1)), text(20, 3)], ['ab', 'cde', 'fgh']);
    assert.equal(sys.peekVector(pair.far, vectorMemory, 3, 2, 5, scratch), 3);
    assert.deepEqual([text(10, 2), other[1]], ['fg', 'h'.charCodeAt(0)]);
    assert.equal(sys.peekVector(pair.far, vectorMemory, 3, 2, 8, scratch), -ERRNO.EAGAIN);
    assert.throws(() => sys.peekVector(pair.far, vectorMemory, 3, 2, 65, scratch), RangeError);
    assert.throws(() => sys.peekVector(pair.far, vectorMemory, 60, 2, 0, -1), RangeError);
    sys.unregister(otherMemory);
    assert.throws(() => sys.peekVector(pair.far, vectorMemory, 3, 2, 0, -1), RangeError);
    closePair(pair);
  });

  it('hold back a short segment with more', () => {
    const pair = connectedPair();
    vector.set([memory, 0, 10]);
    assert.equal(sys.sendVector(pair.near, vectorMemory, 0, 1, true), 10);
    assert.equal(sys.receive(pair.far, memory, 0, 100), -ERRNO.EAGAIN);
    assert.equal(sys.sendVector(pair.near, vectorMemory, 0, 1, false), 10);
    assert.equal(sys.receive(pair.far, memory, 0, 100), 20);
    closePair(pair);
  });

  it('write short when the buffer is full', () => {
    const pair = connectedPair();
    vector.set([memory, 0, bytes.length]);
    let result = bytes.length;
    for (let calls = 0; result === bytes.length && calls < 1000; calls++) {
      result = sys.sendVector(pair.near, vectorMemory, 0, 1, false);
    }
    assert.ok(result < bytes.length);
    while (result > 0) result = sys.sendVector(pair.near, vectorMemory, 0, 1, false);
    assert.equal(result, -ERRNO.EAGAIN);
    closePair(pair);
  });

  it('peek behind what was skipped, and tell nothing yet from the end', () => {
    const pair = connectedPair();
    const { far } = pair;
    assert.equal(sys.peek(far, memory, 0, 8, 0, -1), -ERRNO.EAGAIN);
    sendText(pair.near, 'abcdef');
    assert.equal(peekText(far, 100, 0), 'abcdef');
    assert.equal(peekText(far, 2, 2), 'cd');
    assert.equal(peekText(far, 100, 5), 'f');
    assert.equal(sys.peek(far, memory, 0, 8, 6, scratch), -ERRNO.EAGAIN);
    assert.throws(() => sys.peek(far, memory, 0, 8, 65, scratch), RangeError);
    assert.throws(() => sys.peek(far, memory, 0, 8, 1, -1), RangeError);
    sys.shutdown(pair.near, SHUTDOWN.WRITE);
    assert.equal(peekText(far, 100, 5), 'f');
    assert.equal(sys.peek(far, memory, 0, 8, 6, scratch), 0);
    assert.equal(sys.discard(far, 4), 4);
    assert.equal(peekText(far, 100, 0), 'ef');
    assert.equal(sys.discard(far, 100), 2);
    assert.equal(sys.discard(far, 100), 0);
    assert.throws(() => sys.discard(far, -1), RangeError);
    closePair(pair);
  });

  // What translation of TCP rests on. IPv4 has it since Linux 6.9, IPv6 since 6.11.
  for (const [name, family] of Object.entries(SOCKET_FAMILY)) {
    it(`keep a peek offset, moved back by what is discarded, ${name}`, (context) => {
      const pair = connectedPair(family);
      const { far } = pair;
      if (sys.setOption(far, SOL.SOCKET, SO.PEEK_OFF, 0) !== 0) {
        closePair(pair);
        context.skip('this kernel has no SO_PEEK_OFF for TCP');
        return;
      }
      sendText(pair.near, 'abcdefgh');
      assert.equal(peekText(far, 3, -1), 'abc');
      assert.equal(peekText(far, 3, -1), 'def');
      assert.equal(sys.getOption(far, SOL.SOCKET, SO.PEEK_OFF), 6);
      // Discarding takes from the front; the offset counts from there, so it moves back by as much.
      assert.equal(sys.discard(far, 4), 4);
      assert.equal(sys.getOption(far, SOL.SOCKET, SO.PEEK_OFF), 2);
      assert.equal(peekText(far, 100, -1), 'gh');
      assert.equal(sys.peek(far, memory, 0, 8, -1, -1), -ERRNO.EAGAIN);
      // Going back, for a retransmission, is setting the offset.
      assert.equal(sys.setOption(far, SOL.SOCKET, SO.PEEK_OFF, 1), 0);
      assert.equal(peekText(far, 2, -1), 'fg');
      // The end of the stream is told behind the last byte, and only there.
      sys.shutdown(pair.near, SHUTDOWN.WRITE);
      assert.equal(peekText(far, 100, -1), 'h');
      assert.equal(sys.peek(far, memory, 0, 8, -1, -1), 0);
      assert.equal(sys.discard(far, 100), 4);
      assert.equal(sys.getOption(far, SOL.SOCKET, SO.PEEK_OFF), 0);
      assert.equal(sys.peek(far, memory, 0, 8, -1, -1), 0);
      closePair(pair);
    });
  }
});

describe('readiness and time', () => {
  const events = new Int32Array(16);

  it('collects events with the token of their descriptor', () => {
    const pair = connectedPair();
    const poll = succeed(sys.pollCreate());
    const token = 0x7fff_fffe;
    assert.equal(sys.pollControl(poll, POLL_OPERATION.ADD, pair.far, POLL.IN | POLL.EDGE, token), 0);
    assert.equal(sys.pollControl(poll, POLL_OPERATION.ADD, pair.far, POLL.IN, 0), -ERRNO.EEXIST);
    assert.equal(sys.pollControl(poll, POLL_OPERATION.ADD, pair.near, POLL.OUT, 5), 0);
    assert.equal(sys.pollCollect(poll, events, 8, 0), 1);
    assert.deepEqual([...events.subarray(0, 2)], [POLL.OUT, 5]);
    assert.equal(sys.pollControl(poll, POLL_OPERATION.REMOVE, pair.near, 0, 0), 0);
    sendText(pair.near, 'x');
    assert.equal(sys.pollCollect(poll, events, 8, 0), 1);
    assert.deepEqual([...events.subarray(0, 2)], [POLL.IN, token]);
    assert.equal(sys.pollCollect(poll, events, 8, 0), 0, 'edge-triggered: told once');
    assert.equal(sys.pollControl(poll, POLL_OPERATION.MODIFY, pair.far, POLL.IN | POLL.RDHUP, 6), 0);
    sys.shutdown(pair.near, SHUTDOWN.WRITE);
    assert.equal(sys.pollCollect(poll, events, 8, 0), 1);
    assert.deepEqual([...events.subarray(0, 2)], [POLL.IN | POLL.RDHUP, 6]);
    assert.equal(sys.pollControl(poll, POLL_OPERATION.REMOVE, pair.near, 0, 0), -ERRNO.ENOENT);
    assert.throws(() => sys.pollCollect(poll, events, 9, 0), RangeError);
    assert.throws(() => sys.pollCollect(poll, events, 0, 0), RangeError);
    assert.equal(sys.pollCollect(-1, events, 8, 0), -ERRNO.EBADF);
    sys.close(poll);
    closePair(pair);
  });

  it('sets timers that become readable, not before their time', () => {
    const timer = succeed(sys.timerCreate());
    assert.equal(sys.read(timer, memory, 0, 8), -ERRNO.EAGAIN);
    const startUs = sys.nowUs();
    assert.equal(sys.timerSet(timer, 3000), 0);
    while (sys.read(timer, memory, 0, 8) === -ERRNO.EAGAIN) assert.ok(sys.nowUs() - startUs < 1_000_000);
    assert.ok(sys.nowUs() - startUs >= 3000);
    assert.equal(sys.timerSet(timer, 1), 0);
    assert.equal(sys.timerSet(timer, 0), 0);
    assert.equal(sys.timerSet(timer, 2 ** 40), 0);
    assert.equal(sys.timerSet(timer, -1), -ERRNO.EINVAL);
    assert.equal(sys.timerSet(-1, 1), -ERRNO.EBADF);
    sys.close(timer);
  });

  it('counts microseconds without going back', () => {
    let last = sys.nowUs();
    assert.ok(Number.isInteger(last));
    for (let i = 0; i < 1000; i++) {
      const now = sys.nowUs();
      assert.ok(now >= last);
      last = now;
    }
  });
});

describe('descriptors', () => {
  it('do not leak in 10,000 round trips', () => {
    const before = openDescriptors();
    for (let trip = 0; trip < 500; trip++) {
      const pair = connectedPair();
      const poll = sys.pollCreate();
      sys.pollControl(poll, POLL_OPERATION.ADD, pair.far, POLL.IN, 1);
      for (let exchange = 0; exchange < 20; exchange++) {
        vector.set([memory, 0, 64]);
        assert.equal(sys.sendVector(pair.near, vectorMemory, 0, 1, false), 64);
        assert.equal(sys.receive(pair.far, memory, 0, 64), 64);
      }
      sys.close(poll);
      // The RST leaves no port in TIME_WAIT behind.
      sys.setOption(pair.near, SOL.SOCKET, SO.LINGER, 0);
      closePair(pair);
    }
    assert.equal(openDescriptors(), before);
  });

  it('are refused when they are none', () => {
    assert.equal(sys.close(-1), -ERRNO.EBADF);
    assert.equal(sys.close(1_000_000), -ERRNO.EBADF);
    assert.equal(sys.socket(1234, SOCKET_TYPE.STREAM, 0), -ERRNO.EAFNOSUPPORT);
    assert.equal(sys.listen(-1, 1), -ERRNO.EBADF);
  });
});
