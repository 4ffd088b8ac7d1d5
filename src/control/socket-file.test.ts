import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, beforeEach, describe, it } from 'node:test';
import { makeSocketFile, type SocketFile } from './socket-file.ts';

const root = mkdtempSync(join(tmpdir(), 'tapster-socket-'));
const servers: Server[] = [];
let count = 0;
let path = '';

beforeEach(() => {
  path = join(root, `run${count++}`, 'main.sock');
});

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

after(() => rmSync(root, { recursive: true }));

/** What `listen` of a server does; `seen` is told of the path while it is bound. */
function listen(bound: string, seen: (bound: string) => void = () => {}): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.end());
    servers.push(server);
    server.once('error', reject);
    server.listen(bound, () => {
      seen(bound);
      resolve();
    });
  });
}

async function made(where: string = path): Promise<SocketFile> {
  const file = await makeSocketFile(where, listen);
  assert.ok(file.ok, file.ok ? '' : file.failure.message);
  return file.value;
}

async function refusedWith(code: string, where: string = path): Promise<string> {
  const file = await makeSocketFile(where, listen);
  assert.ok(!file.ok);
  assert.equal(file.failure.code, code);
  return file.failure.message;
}

/** As an engine leaves it that is killed. Node takes the name away when a server closes, so it gets a second one. */
async function leaveStale(): Promise<void> {
  const file = await made();
  assert.ok(file);
  await new Promise((resolve) => servers.pop()!.close(resolve));
  assert.ok(existsSync(path));
}

describe('the file of a socket', () => {
  it('is for its owner only, from the first moment', async () => {
    const modes: number[] = [];
    const file = await makeSocketFile(path, (bound) =>
      listen(bound, () => modes.push(statSync(join(bound, '..')).mode & 0o777)),
    );
    assert.ok(file.ok);
    assert.deepEqual(modes, [0o700], 'nobody else can enter where it is bound');
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(statSync(join(path, '..')).mode & 0o777, 0o700);
    assert.deepEqual(readdirSync(join(path, '..')), ['main.sock'], 'nothing else is left');
  });

  it('takes over from an engine that died', async () => {
    await leaveStale();
    await made();
    assert.deepEqual(readdirSync(join(path, '..')), ['main.sock']);
  });

  it('is refused where an engine listens', async () => {
    await made();
    assert.match(await refusedWith('engine-running'), /tapster down/);
    assert.ok(existsSync(path));
    assert.deepEqual(readdirSync(join(path, '..')), ['main.sock']);
  });

  it('is refused to all but one of those that come at once', async () => {
    await leaveStale();
    const files = await Promise.all(Array.from({ length: 5 }, () => makeSocketFile(path, listen)));
    assert.equal(files.filter(({ ok }) => ok).length, 1);
    assert.ok(statSync(path).isSocket());
  });

  it('never replaces what is no socket', async () => {
    const file = join(root, 'precious');
    writeFileSync(file, 'text');
    await refusedWith('socket-path-taken', file);
    assert.ok(existsSync(file));
  });

  it('goes at the end if it is still ours', async () => {
    const first = await made();
    await first.remove();
    assert.ok(!existsSync(path));
    const second = await made();
    rmSync(path);
    const third = await made();
    await second.remove();
    assert.ok(existsSync(path), 'it is that of another');
    await third.remove();
    assert.ok(!existsSync(path));
  });

  it('is refused with a path that can not be one', async () => {
    await refusedWith('socket-path-invalid', 'main.sock');
    await refusedWith('socket-path-invalid', join(root, 'x'.repeat(100)));
    const file = join(root, 'no-folder');
    writeFileSync(file, '');
    chmodSync(file, 0o600);
    assert.match(await refusedWith('socket-failed', join(file, 'main.sock')), /ENOTDIR|EEXIST/);
  });
});
