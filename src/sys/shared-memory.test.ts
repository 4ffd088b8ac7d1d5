import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { GUEST_WINDOWS_MAX } from '../base/limits.ts';
import { ERRNO } from './errno.ts';
import { LinuxSys } from './linux.ts';
import { mapSharedMemory, type SharedMemory, sharedMemoryCalls, WINDOW_BYTES } from './shared-memory.ts';

const folder = mkdtempSync(join(tmpdir(), 'shared-memory-'));
const sys = new LinuxSys();
let files = 0;

function file(bytes: number): number {
  const fd = openSync(join(folder, String(files++)), 'w+');
  ftruncateSync(fd, bytes);
  return fd;
}

function map(fd: number, offset: number, length: number): SharedMemory {
  const shared = mapSharedMemory(fd, offset, length);
  assert.ok(typeof shared !== 'number', `errno ${-Number(shared)}`);
  return shared;
}

describe('shared memory', () => {
  after(() => rmSync(folder, { recursive: true }));

  it('is the file, from any place in it', () => {
    const fd = file(3 * 4096);
    const shared = map(fd, 4096 + 16, 5000);
    shared.windows[0]!.view.setUint8(4999, 77);
    const byte = new Uint8Array(1);
    readSync(fd, byte, 0, 1, 4096 + 16 + 4999);
    assert.equal(byte[0], 77);
    writeSync(fd, Uint8Array.of(78), 0, 1, 4096 + 16);
    assert.equal(shared.windows[0]!.view.getUint8(0), 78);
    assert.equal(shared.windows[0]!.view.byteLength, 5000);
    shared.unmap();
    closeSync(fd);
  });

  it('has windows that lie over each other, where it is long', () => {
    const length = 2 * 1024 * 1024 * 1024 + 4096;
    const fd = file(length);
    const shared = map(fd, 0, length);
    closeSync(fd);
    const step = shared.windows[1]!.at;
    assert.deepEqual(
      shared.windows.map(({ at, view }) => [at, view.byteLength]),
      [
        [0, WINDOW_BYTES],
        [step, WINDOW_BYTES - (WINDOW_BYTES - step) + 4096],
        [2 * step, 4096],
      ],
    );
    shared.windows[0]!.view.setUint8(step + 5, 9);
    assert.equal(shared.windows[1]!.view.getUint8(5), 9);
    shared.unmap();
  });

  it('is zeros behind unmap, whoever still holds a window', () => {
    const fd = file(4096);
    const shared = map(fd, 0, 4096);
    const { view } = shared.windows[0]!;
    view.setUint8(0, 1);
    shared.unmap();
    assert.equal(view.getUint8(0), 0);
    view.setUint8(0, 2);
    const byte = new Uint8Array(1);
    readSync(fd, byte, 0, 1, 0);
    assert.equal(byte[0], 1, 'the file is out of reach');
    closeSync(fd);
  });

  it('is zeros where the file is cut short, for JavaScript and for native calls', () => {
    for (const touch of ['view', 'copy', 'write'] as const) {
      const fd = file(8192);
      const shared = map(fd, 0, 8192);
      const { view, memory } = shared.windows[0]!;
      view.setUint8(5000, 1);
      ftruncateSync(fd, 0);
      const target = new Uint8Array(8192).fill(7);
      const targetId = sys.register(target);
      if (touch === 'view') assert.equal(view.getUint8(5000), 0);
      else if (touch === 'write') view.setUint8(100, 1);
      else {
        const vector = Int32Array.of(memory, 0, targetId, 0, 8192);
        const vectorId = sys.register(vector);
        sharedMemoryCalls.copyPieces(vectorId, 0, 1);
        assert.ok(target.every((byte) => byte === 0));
        sys.unregister(vectorId);
      }
      assert.equal(shared.isLost(), true);
      view.setUint8(8191, 3);
      assert.equal(view.getUint8(8191), 3);
      sys.unregister(targetId);
      shared.unmap();
      closeSync(fd);
    }
  });

  it('can be mapped as often as somebody likes, whoever still holds windows', () => {
    const fd = file(4096);
    const held = Array.from({ length: 3000 }, () => {
      const memory = map(fd, 0, 4096);
      memory.unmap();
      return memory.windows[0]!.view;
    });
    assert.ok(held.every((view) => view.getUint8(0) === 0));
    closeSync(fd);
  });

  it('is refused beyond what leaves room for other registered memories, and taken when some was given up', () => {
    const fd = file(4096);
    const most = GUEST_WINDOWS_MAX * 1024 ** 3;
    assert.equal(mapSharedMemory(fd, 0, most + 1), -ERRNO.ENOSPC);
    assert.equal(mapSharedMemory(fd, 0, most), -ERRNO.ERANGE);
    const one = map(fd, 0, 4096);
    assert.equal(mapSharedMemory(fd, 0, most), -ERRNO.ENOSPC);
    one.unmap();
    assert.equal(mapSharedMemory(fd, 0, most), -ERRNO.ERANGE);
    closeSync(fd);
  });

  it('refuses files that are too short, and what is no file', () => {
    const fd = file(4096);
    assert.equal(mapSharedMemory(fd, 0, 4097), -ERRNO.ERANGE);
    assert.equal(mapSharedMemory(fd, 8192, 1), -ERRNO.ERANGE);
    assert.equal(mapSharedMemory(fd, -4096, 1), -ERRNO.EINVAL);
    const event = sharedMemoryCalls.eventCreate();
    assert.equal(mapSharedMemory(event, 0, 1), -ERRNO.EACCES);
    closeSync(event);
    closeSync(fd);
    assert.equal(mapSharedMemory(fd, 0, 1), -ERRNO.EBADF);
  });

  it('takes for an event what is one, and no poll set: what others put there, our polls would ask', () => {
    const event = sharedMemoryCalls.eventCreate();
    const poll = sys.pollCreate();
    const fd = file(4096);
    const adopted = [event, poll, fd].map((each) => sharedMemoryCalls.eventAdopt(each));
    assert.deepEqual(adopted, [0, -ERRNO.EINVAL, -ERRNO.EINVAL]);
    for (const each of [event, poll, fd]) closeSync(each);
    assert.equal(sharedMemoryCalls.eventAdopt(event), -ERRNO.EBADF);
  });

  it('copies nothing when one of the pieces can not be', () => {
    const from = Uint8Array.of(1, 2, 3, 4);
    const to = new Uint8Array(4);
    const [fromId, toId] = [sys.register(from), sys.register(to)];
    const vector = Int32Array.of(fromId, 0, toId, 0, 2, fromId, 3, toId, 2, 2);
    const vectorId = sys.register(vector);
    assert.throws(() => sharedMemoryCalls.copyPieces(vectorId, 0, 2), RangeError);
    assert.deepEqual([...to], [0, 0, 0, 0]);
    vector[6] = 2;
    assert.equal(sharedMemoryCalls.copyPieces(vectorId, 0, 2), 2);
    assert.deepEqual([...to], [1, 2, 3, 4]);
    for (const id of [fromId, toId, vectorId]) sys.unregister(id);
  });

  it('leaves faults that are not its own to end the process', () => {
    const module = new URL('shared-memory.js', import.meta.url).href;
    const program = `
      const { mapSharedMemory } = await import(process.argv[1]);
      if (typeof mapSharedMemory(3, 0, 4096) === 'number') process.exit(1);
      process.kill(process.pid, 'SIGBUS');
      setTimeout(() => process.exit(2), 5000);`;
    const words = ['--input-type=module', '-e', program, module];
    const child = spawnSync(process.execPath, words, { stdio: ['ignore', 'ignore', 'inherit', file(4096)] });
    assert.equal(child.signal, 'SIGBUS');
  });
});
