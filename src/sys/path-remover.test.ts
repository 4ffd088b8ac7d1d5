/** The path of a socket goes when it is told to, or when its process has gone; another socket at the same path stays. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, rmSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually } from '../base/eventually-fixture.test.ts';
import { startPathRemover } from './path-remover.ts';
import { listenUnix } from './unix-socket.ts';

const folder = mkdtempSync(join(tmpdir(), 'path-remover-'));
after(() => rmSync(folder, { recursive: true }));

function listen(path: string): number {
  const listener = listenUnix(path);
  assert.ok(listener.ok);
  return listener.value.fd;
}

describe('the path of a socket', () => {
  it('is gone when it has been removed', () => {
    const path = join(folder, 'one.sock');
    const fd = listen(path);
    const remover = startPathRemover(path);
    assert.ok(remover.ok && existsSync(path));
    remover.value.remove();
    assert.ok(!existsSync(path));
    closeSync(fd);
  });

  it('stays when another socket is there', () => {
    const path = join(folder, 'two.sock');
    const first = listen(path);
    const remover = startPathRemover(path);
    assert.ok(remover.ok);
    unlinkSync(path);
    const second = listen(path);
    remover.value.remove();
    assert.ok(existsSync(path));
    for (const fd of [first, second]) closeSync(fd);
  });

  it('goes with a process that is killed', async () => {
    const path = join(folder, 'three.sock');
    const imports = ['./unix-socket.js', './path-remover.js'].map((name) =>
      fileURLToPath(new URL(name, import.meta.url)),
    );
    const script = `const [{ listenUnix }, { startPathRemover }] = await Promise.all(${JSON.stringify(imports)}.map((each) => import(each)));
      listenUnix(process.argv[1]); startPathRemover(process.argv[1]); process.kill(process.pid, 'SIGKILL');`;
    const { signal, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script, path], {
      encoding: 'utf8',
    });
    assert.equal(signal, 'SIGKILL', stderr);
    await eventually('the path is gone', () => !existsSync(path));
  });

  it('can not be looked after when it is not there', () => {
    const remover = startPathRemover(join(folder, 'none.sock'));
    assert.equal(!remover.ok && remover.failure.code, 'path-remover-failed');
  });
});
