import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { eventually } from '../base/eventually-fixture.test.ts';
import { FileAppender, openOutput } from './file-appender.ts';

/** Who waits for a reader is not to give it up: no file here takes so long. */
const PATIENCE_MS = 60_000;
const folder = mkdtempSync(join(tmpdir(), 'tapster-appender-'));
after(() => rmSync(folder, { recursive: true }));

function open(path: string, keep: boolean): number {
  const output = openOutput(path, keep);
  assert.ok(output.ok);
  return output.value.fd;
}

/** A pipe with a name; its reader does not block. */
function pipe(name: string): { reader: number; writer: number } {
  const path = join(folder, name);
  assert.equal(spawnSync('mkfifo', [path]).status, 0);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return { reader, writer: open(path, true) };
}

/** Reads what is there; 0: nothing. */
function read(fd: number, into: Buffer): number {
  try {
    return readSync(fd, into);
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN');
    return 0;
  }
}

describe('openOutput', () => {
  it('keeps a file or starts it anew', async () => {
    const path = join(folder, 'file');
    for (const [keep, expected] of [
      [true, 'old+new'],
      [false, 'new'],
    ] as const) {
      writeFileSync(path, keep ? 'old+' : 'old');
      const appender = new FileAppender(open(path, keep), true, 100, assert.fail);
      assert.ok(appender.append(Buffer.from('new')));
      await appender.close(1000);
      assert.equal(readFileSync(path, 'utf8'), expected);
    }
  });

  it('uses descriptors that are there, and does not own them', () => {
    const samples = { '-': 1, '/dev/stdout': 1, '/dev/stderr': 2, '/dev/fd/7': 7, '/proc/self/fd/12': 12 };
    for (const [path, fd] of Object.entries(samples)) {
      assert.deepEqual(openOutput(path, true), { ok: true, value: { fd, owned: false } });
    }
  });
});

describe('FileAppender', () => {
  it('takes what fits into its bound, and more when that is written', async () => {
    const path = join(folder, 'bound');
    const appender = new FileAppender(open(path, true), true, 10, assert.fail);
    assert.deepEqual(
      ['12345', '67890', 'x'].map((text) => appender.append(Buffer.from(text))),
      [true, true, false],
    );
    await eventually('there is room', () => appender.append(Buffer.from('y')));
    await appender.close(PATIENCE_MS);
    assert.equal(readFileSync(path, 'utf8'), '1234567890y');
  });

  it('goes on where a short write ended', async () => {
    const { reader, writer } = pipe('short');
    const appender = new FileAppender(writer, true, 1 << 20, assert.fail);
    const pieces = Array.from({ length: 7 }, (_, i) => Buffer.alloc(50_000, i));
    for (const piece of pieces) assert.ok(appender.append(piece));
    const closed = appender.close(PATIENCE_MS);
    const expected = Buffer.concat(pieces);
    const received = Buffer.alloc(expected.length);
    for (let at = 0; at < expected.length; ) {
      const got = read(reader, received.subarray(at, at + 10_000));
      if (got === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      at += got;
    }
    await closed;
    closeSync(reader);
    assert.ok(received.equals(expected));
  });

  it('does not give a slow reader up, as long as it takes something', async () => {
    const { reader, writer } = pipe('slow');
    const appender = new FileAppender(writer, true, 1 << 20, assert.fail);
    const bytes = 800_000;
    assert.ok(appender.append(Buffer.alloc(bytes)));
    let isClosed = false;
    const timeoutMs = 1000;
    const startedAt = performance.now();
    const closed = appender.close(timeoutMs).then(() => {
      isClosed = true;
    });
    // What the pipe holds, each tenth of the time.
    while (!isClosed) {
      await new Promise((resolve) => setTimeout(resolve, timeoutMs / 10));
      read(reader, Buffer.alloc(65_536));
    }
    await closed;
    assert.ok(performance.now() - startedAt > timeoutMs);
    closeSync(reader);
  });

  it('does not wait for ever for a reader that has stopped', async () => {
    const { reader, writer } = pipe('stopped');
    const failures: string[] = [];
    const appender = new FileAppender(writer, true, 1 << 20, (reason) => failures.push(reason));
    assert.ok(appender.append(Buffer.alloc(500_000)));
    await appender.close(100);
    assert.deepEqual(failures, ['nobody reads what is written']);
    assert.equal(appender.append(Buffer.from('x')), false);
    closeSync(reader);
  });

  it('tells a reader that has gone, once', async () => {
    const { reader, writer } = pipe('gone');
    const failures: string[] = [];
    const appender = new FileAppender(writer, true, 1 << 20, (reason) => failures.push(reason));
    closeSync(reader);
    for (let i = 0; i < 3; i++) appender.append(Buffer.from('x'));
    await eventually('it gives up', () => !appender.working);
    assert.equal(appender.append(Buffer.from('x')), false);
    await appender.close(PATIENCE_MS);
    assert.deepEqual(failures, ['EPIPE']);
  });
});
