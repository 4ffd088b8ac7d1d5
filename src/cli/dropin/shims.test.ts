import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { shimText, writeShims } from './shims.ts';

/** No backslash: Node itself loads no module from such a path. */
const AWKWARD = `it's a "$HOME" \`path\` with\nspaces`;

describe('writeShims', () => {
  let folder = '';

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tapster-shims-'));
  });

  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it('makes executables that hand on what they are given, whatever the paths', () => {
    const script = join(folder, AWKWARD, 'tapster.mjs');
    mkdirSync(join(folder, AWKWARD));
    writeFileSync(script, 'process.stdout.write(JSON.stringify(process.argv.slice(2)));');
    // A link with such a name stands for a Node with such a path.
    const node = join(folder, AWKWARD, 'node');
    symlinkSync(process.execPath, node);
    const to = join(folder, 'shims of mine', 'bin');
    const written = writeShims(to, { node, script });
    assert.ok(written.ok, written.ok ? '' : written.failure.message);
    assert.deepEqual(
      written.value,
      ['pasta', 'passt', 'slirp4netns'].map((name) => join(to, name)),
    );
    assert.deepEqual(readdirSync(to).sort(), ['passt', 'pasta', 'slirp4netns']);
    for (const path of written.value) {
      assert.equal(statSync(path).mode & 0o777, 0o755);
      const args = ['-t', '22 23', "it's", '$HOME', '*', '', '\\', 'a\nb'];
      const output = execFileSync(path, args, { encoding: 'utf8' });
      assert.deepEqual(JSON.parse(output), [path.split('/').at(-1), ...args]);
    }
  });

  it('passes the exit status on', () => {
    const script = join(folder, 'tapster.mjs');
    writeFileSync(script, 'process.exit(7);');
    assert.ok(writeShims(folder, { node: process.execPath, script }).ok);
    assert.equal(spawnSync(join(folder, 'pasta')).status, 7);
  });

  it('replaces its own', () => {
    assert.ok(writeShims(folder, { node: '/old/node', script: '/old/tapster.js' }).ok);
    const target = { node: '/new/node', script: '/new/tapster.js' };
    assert.ok(writeShims(folder, target).ok);
    assert.equal(readFileSync(join(folder, 'passt'), 'utf8'), shimText('passt', target));
    assert.equal(readdirSync(folder).length, 3);
  });

  it('refuses what is not its own, and then writes nothing', () => {
    const target = { node: '/bin/node', script: '/tapster.js' };
    const path = join(folder, 'slirp4netns');
    const others: [string, () => void][] = [
      ['a program', () => writeFileSync(path, '#!/bin/sh\nexit 0\n')],
      ['an empty file', () => writeFileSync(path, '')],
      ['a folder', () => mkdirSync(path)],
      ['a link', () => symlinkSync('/usr/bin/true', path)],
      ['a link to nothing', () => symlinkSync('/nowhere/at/all', path)],
    ];
    for (const [what, make] of others) {
      make();
      const result = writeShims(folder, target);
      assert.ok(!result.ok, what);
      assert.equal(result.failure.code, 'shim-not-ours');
      assert.ok(result.failure.message.startsWith(`${path} is there`), result.failure.message);
      assert.deepEqual(readdirSync(folder), ['slirp4netns'], what);
      rmSync(path, { recursive: true });
    }
  });

  it('tells what it can not do', () => {
    writeFileSync(join(folder, 'file'), '');
    const below = writeShims(join(folder, 'file'), { node: '/bin/node', script: '/tapster.js' });
    assert.ok(!below.ok);
    assert.equal(below.failure.code, 'shims-not-written');
    const relative = writeShims(folder, { node: 'node', script: '/tapster.js' });
    assert.ok(!relative.ok);
    assert.match(relative.failure.message, /"node" is not an absolute path/);
    assert.deepEqual(readdirSync(folder), ['file']);
  });
});
