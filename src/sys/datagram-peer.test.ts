/** A datagram socket that stays connected to a path, on the real kernel: to nobody, somebody, somebody else; and what the kernel says of datagrams in between. */
import assert from 'node:assert/strict';
import { closeSync, existsSync, mkdtempSync, rmSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type DatagramPeer, type PeerState, startDatagramPeer } from './datagram-peer.ts';
import { ERRNO } from './errno.ts';
import { LinuxSys } from './linux.ts';
import { DATAGRAM_WORDS } from './sys.ts';
import { listenUnix, UNIX_TYPE, unixCalls } from './unix-socket.ts';

const folder = mkdtempSync(join(tmpdir(), 'datagram-peer-'));
after(() => rmSync(folder, { recursive: true }));
const sys = new LinuxSys();
const DATAGRAM_BYTES = 1000;

function bind(path: string): number {
  const bound = listenUnix(path, UNIX_TYPE.DATAGRAM);
  assert.ok(bound.ok);
  return bound.value.fd;
}

function connectTo(fd: number, path: string): DatagramPeer {
  const peer = startDatagramPeer(fd, path);
  assert.ok(peer.ok);
  return peer.value;
}

async function told(peer: DatagramPeer): Promise<PeerState> {
  for (;;) {
    const state = peer.read();
    if (typeof state === 'object') return state;
    assert.equal(state, undefined);
    await sleep(5);
  }
}

/** Sends datagrams by a connected socket: how many were taken, or -errno. */
function send(fd: number, count: number): number {
  const bytes = new Uint8Array(DATAGRAM_BYTES);
  const records = new Int32Array(count * DATAGRAM_WORDS);
  for (let i = 0; i < count; i++) records.set([0, DATAGRAM_BYTES, 0, -1, -1], i * DATAGRAM_WORDS);
  const memories = [sys.register(bytes), sys.register(records)] as const;
  const sent = sys.sendDatagrams(fd, memories[0], memories[1], 0, count);
  for (const memory of memories) sys.unregister(memory);
  return sent;
}

/** Receives all: their bytes. */
function receive(fd: number): number[] {
  const bytes = new Uint8Array(64 * DATAGRAM_BYTES);
  const records = new Int32Array(64 * DATAGRAM_WORDS);
  const memories = [sys.register(bytes), sys.register(records)] as const;
  const got = sys.receiveDatagrams(fd, memories[0], 0, bytes.length, 0, DATAGRAM_BYTES, memories[1], 0, 64);
  for (const memory of memories) sys.unregister(memory);
  assert.ok(got >= 0);
  return Array.from({ length: got }, (_, i) => records[i * DATAGRAM_WORDS + 1]!);
}

describe('a datagram socket that is kept connected to a path', () => {
  it('is to nobody, then to who binds the path, then to who binds it anew', async () => {
    const [ours, theirs] = [join(folder, 'a'), join(folder, 'a.qemu')];
    const fd = bind(ours);
    const peer = connectTo(fd, theirs);
    assert.deepEqual(await told(peer), { error: ERRNO.ENOENT, number: 0 });
    assert.equal(send(fd, 1), -ERRNO.ENOTCONN);
    const first = bind(theirs);
    assert.deepEqual(await told(peer), { error: 0, number: 1 });
    assert.equal(send(fd, 3), 3);
    assert.deepEqual(receive(first), [DATAGRAM_BYTES, DATAGRAM_BYTES, DATAGRAM_BYTES]);
    // As QEMU does: it takes the path away from whoever has it.
    unlinkSync(theirs);
    const second = bind(theirs);
    assert.deepEqual(await told(peer), { error: 0, number: 2 });
    assert.equal(send(fd, 1), 1);
    assert.deepEqual([receive(first).length, receive(second).length], [0, 1]);
    for (const each of [first, second]) closeSync(each);
    assert.deepEqual(await told(peer), { error: ERRNO.ECONNREFUSED, number: 2 });
    peer.look();
    assert.deepEqual(await told(peer), { error: ERRNO.ECONNREFUSED, number: 2 }, 'asked, it tells what is not new');
    peer.end();
    assert.ok(!existsSync(theirs), 'nobody is there: the path goes');
    closeSync(fd);
  });

  it('finds out by sending that the other side has gone', async () => {
    const [ours, theirs] = [join(folder, 'b'), join(folder, 'b.qemu')];
    const [fd, other] = [bind(ours), bind(theirs)];
    const peer = connectTo(fd, theirs);
    assert.equal((await told(peer)).error, 0);
    closeSync(other);
    assert.equal(send(fd, 2), -ERRNO.ECONNREFUSED);
    peer.end();
    closeSync(fd);
  });

  it('is full when the other side has ten that wait, and is told when it has less; the other way holds more', async () => {
    const [ours, theirs] = [join(folder, 'c'), join(folder, 'c.qemu')];
    const [fd, other] = [bind(ours), bind(theirs)];
    const peers = [connectTo(fd, theirs)];
    assert.equal((await told(peers[0]!)).error, 0);
    const taken = send(fd, 64);
    assert.ok(taken > 0 && taken < 64, `${taken} were taken`);
    assert.equal(send(fd, 1), -ERRNO.EAGAIN);
    const poll = sys.pollCreate();
    const events = new Int32Array(2);
    sys.pollControl(poll, 1, fd, 4, 7);
    assert.equal(sys.pollCollect(poll, events, 1, 0), 0);
    assert.equal(receive(other).length, taken);
    assert.equal(sys.pollCollect(poll, events, 1, 0), 1);
    // Who is connected to the one that sends does not count what waits.
    peers.push(connectTo(other, ours));
    assert.equal((await told(peers[1]!)).error, 0);
    assert.ok(send(other, 64) > taken);
    for (const peer of peers) peer.end();
    for (const each of [fd, other, poll]) closeSync(each);
  });

  it('takes nothing from anybody else, and the path of one who is there stays', async () => {
    const [ours, theirs] = [join(folder, 'd'), join(folder, 'd.qemu')];
    const [fd, other] = [bind(ours), bind(theirs)];
    const peer = connectTo(fd, theirs);
    assert.equal((await told(peer)).error, 0);
    assert.equal(unixCalls.unixConnect(ours, UNIX_TYPE.DATAGRAM), -ERRNO.EPERM);
    peer.end();
    assert.ok(existsSync(theirs));
    for (const each of [fd, other]) closeSync(each);
  });

  it('has a path of 107 bytes at most', () => {
    const refused = startDatagramPeer(0, `/${'x'.repeat(107)}`);
    assert.equal(!refused.ok && refused.failure.code, 'socket-path-long');
  });
});
