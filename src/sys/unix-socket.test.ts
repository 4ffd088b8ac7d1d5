/** Sockets of the UNIX domain: paths that are free, taken, or left behind; descriptors that come along. */
import assert from 'node:assert/strict';
import { closeSync, existsSync, fstatSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { ERRNO } from './errno.ts';
import { LinuxSys } from './linux.ts';
import { connectUnix, describePeer, listenUnix, listenUnixSeries, UNIX_TYPE, unixCalls } from './unix-socket.ts';

const folder = mkdtempSync(join(tmpdir(), 'unix-socket-'));
after(() => rmSync(folder, { recursive: true }));

describe('a socket at a path', () => {
  // covers P2
  it('replaces one that nobody listens at any more, and no other', () => {
    const path = join(folder, 'one.sock');
    const first = listenUnix(path);
    assert.ok(first.ok);
    const second = listenUnix(path);
    assert.equal(!second.ok && second.failure.code, 'socket-in-use');
    closeSync(first.value.fd);
    assert.ok(existsSync(path));
    const third = listenUnix(path);
    assert.ok(third.ok);
    closeSync(third.value.fd);
    const file = join(folder, 'file');
    writeFileSync(file, '');
    const fourth = listenUnix(file);
    assert.equal(!fourth.ok && fourth.failure.code, 'socket-path-taken');
    assert.ok(existsSync(file));
  });

  it('is looked at without calling on who listens there', () => {
    const path = join(folder, 'quiet.sock');
    for (const type of [UNIX_TYPE.STREAM, UNIX_TYPE.DATAGRAM]) {
      const first = listenUnix(path, type);
      assert.ok(first.ok);
      for (const other of [UNIX_TYPE.STREAM, UNIX_TYPE.DATAGRAM]) assert.ok(!listenUnix(path, other).ok);
      if (type === UNIX_TYPE.STREAM) assert.equal(unixCalls.unixAccept(first.value.fd), -ERRNO.EAGAIN);
      // Whoever has gone is replaced, whatever he was.
      closeSync(first.value.fd);
    }
  });

  // covers P2
  it('is the first free one of a series', () => {
    const pathOf = (number: number): string => join(folder, 'series', `guest-${number}.sock`);
    const [one, two] = [listenUnixSeries(pathOf), listenUnixSeries(pathOf)];
    assert.ok(one.ok && two.ok);
    assert.deepEqual([one.value.path, two.value.path], [pathOf(1), pathOf(2)]);
    closeSync(one.value.fd);
    const again = listenUnixSeries(pathOf);
    assert.equal(again.ok && again.value.path, pathOf(1));
    if (again.ok) closeSync(again.value.fd);
    closeSync(two.value.fd);
  });

  it('says what is wrong with a path', () => {
    const codeOf = (path: string): string => {
      const result = listenUnix(path);
      return result.ok ? '' : result.failure.code;
    };
    assert.equal(codeOf(join(folder, 'nowhere', 'x')), 'socket-folder-missing');
    assert.equal(codeOf(`/${'x'.repeat(120)}`), 'socket-path-long');
    const missing = connectUnix(join(folder, 'nobody'));
    assert.equal(!missing.ok && missing.failure.code, 'socket-not-listening');
  });

  it('carries bytes with a descriptor, and says who is at the other end', () => {
    const sys = new LinuxSys();
    const listener = listenUnix(join(folder, 'talk.sock'));
    assert.ok(listener.ok);
    const client = connectUnix(listener.value.path);
    assert.ok(client.ok);
    const server = unixCalls.unixAccept(listener.value.fd);
    assert.ok(server >= 0);
    assert.equal(describePeer(server), `pid ${process.pid} (${describePeer(client.value).split('(')[1]}`);
    const bytes = new Uint8Array(64);
    const memory = sys.register(bytes);
    bytes.set([1, 2, 3]);
    const sent = openSync('/dev/null', 'r');
    assert.equal(unixCalls.unixSend(client.value, memory, 0, 3, sent), 3);
    const descriptors = new Int32Array(9);
    assert.equal(unixCalls.unixReceive(server, memory, 32, 16, descriptors), 3);
    assert.deepEqual([...bytes.subarray(32, 35)], [1, 2, 3]);
    assert.equal(descriptors[0], 1);
    assert.equal(fstatSync(descriptors[1]).rdev, fstatSync(sent).rdev);
    closeSync(client.value);
    assert.equal(unixCalls.unixReceive(server, memory, 32, 16, descriptors), 0);
    for (const fd of [server, listener.value.fd, sent, descriptors[1]]) closeSync(fd);
  });
});
