import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { type BoundedLogFile, openBoundedLogFile } from './bounded-log-file.ts';

const BYTES_MAX = 65_536;

describe('a bounded log file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tapster-log-'));
  after(() => rmSync(folder, { recursive: true }));

  function open(name: string): { readonly path: string; readonly log: BoundedLogFile } {
    const path = join(folder, name);
    const opened = openBoundedLogFile(path, BYTES_MAX);
    assert.ok(opened.ok);
    return { path, log: opened.value };
  }

  it('never grows beyond its size, and holds the youngest lines, whole and in order', () => {
    const { path, log } = open('growing');
    const count = 20_000;
    for (let i = 0; i < count; i++) {
      log.write(`line ${i}\n`);
      if (i % 1000 === 0) assert.ok(readFileSync(path).length <= BYTES_MAX);
    }
    const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
    assert.equal(lines.at(-1), `line ${count - 1}`);
    const first = Number(lines[0]?.slice('line '.length));
    assert.deepEqual(
      lines,
      Array.from({ length: count - first }, (_, i) => `line ${first + i}`),
    );
    assert.ok(lines.length * 11 > BYTES_MAX / 2, 'not more than needed is removed');
  });

  it('keeps what was there, as far as it fits', () => {
    writeFileSync(join(folder, 'old'), `${'x'.repeat(BYTES_MAX * 3)}\nthe last line\n`);
    const { path, log } = open('old');
    log.write('a new line\n');
    assert.equal(readFileSync(path, 'utf8'), 'the last line\na new line\n');
  });

  it('is emptied where no line ends, and cuts a line that is longer than itself', () => {
    writeFileSync(join(folder, 'endless'), 'x'.repeat(BYTES_MAX));
    const { path, log } = open('endless');
    log.write('a new line\n');
    assert.equal(readFileSync(path, 'utf8'), 'a new line\n');
    log.write('y'.repeat(BYTES_MAX * 2));
    assert.equal(readFileSync(path, 'utf8'), 'y'.repeat(BYTES_MAX));
  });

  it('that can not be opened is a failure', () => {
    const opened = openBoundedLogFile('/nowhere/file', BYTES_MAX);
    assert.ok(!opened.ok);
    assert.match(opened.failure.message, /\/nowhere\/file can't be opened: ENOENT/);
  });
});
