/** The scripts are loaded by the shells themselves, where they are installed. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { completionScript } from './completion.ts';
import { makeProgram } from './program.ts';

const folder = mkdtempSync(join(tmpdir(), 'tapster-completion-'));
after(() => rmSync(folder, { recursive: true }));

const program = makeProgram({ out: () => {}, error: () => {}, columns: undefined }, () => {});

function scriptFile(shell: string, name: string): string {
  const path = join(folder, name);
  writeFileSync(path, completionScript(shell, program));
  return path;
}

function without(shell: string): string | false {
  return spawnSync(shell, ['-c', 'exit 0']).status === 0 ? false : `${shell} is not installed`;
}

/** What bash would offer for the last of `words`. */
function bashOffers(...words: string[]): string[] {
  const script = `source ${scriptFile('bash', 'tapster.bash')}
    COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); _tapster; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const result = spawnSync('bash', ['--norc', '-c', script, 'bash', ...words], { encoding: 'utf8', cwd: folder });
  assert.equal(result.stderr, '');
  return result.stdout.split('\n').filter((line) => line !== '');
}

describe('completion for bash', { skip: without('bash') }, () => {
  it('offers commands, options and shells', () => {
    assert.deepEqual(bashOffers('tapster', ''), [
      'run',
      'guest',
      'up',
      'ctl',
      'apply',
      'down',
      'doctor',
      'shims',
      'completion',
      'help',
      '--help',
      '--version',
    ]);
    assert.deepEqual(bashOffers('tapster', 'ru'), ['run']);
    assert.deepEqual(bashOffers('tapster', 'completion', 'z'), ['zsh']);
    assert.deepEqual(bashOffers('tapster', 'run', '--no-d'), ['--no-dns']);
    assert.deepEqual(bashOffers('tapster', 'run', '--mtu', '1500', '-v', '--fl'), ['--flows']);
    assert.deepEqual(bashOffers('tapster', 'run', '--mtu', '=', '1500', '--fl'), ['--flows']);
    assert.deepEqual(bashOffers('tapster', 'guest', '--mtu', '1500', '--so'), ['--socket']);
  });

  it('offers files for files, nothing for other values', () => {
    assert.deepEqual(bashOffers('tapster', 'run', '--pcap', 'tapster.b'), ['tapster.bash']);
    assert.deepEqual(bashOffers('tapster', 'run', '--pcap', '=', 'tapster.b'), ['tapster.bash']);
    assert.deepEqual(bashOffers('tapster', 'guest', '--socket', 'tapster.b'), ['tapster.bash']);
    assert.deepEqual(bashOffers('tapster', 'run', '--mtu', ''), []);
  });

  it('knows the commands of engines', () => {
    assert.deepEqual(bashOffers('tapster', 'up', '--det'), ['--detach']);
    assert.deepEqual(bashOffers('tapster', 'up', '--log-level', 'w'), ['warning']);
    assert.deepEqual(bashOffers('tapster', 'up', '--name', 'tapster.b'), []);
    assert.deepEqual(bashOffers('tapster', 'up', '-d', 'tapster.b'), ['tapster.bash']);
    assert.deepEqual(bashOffers('tapster', 'apply', '--dry'), ['--dry-run']);
    assert.deepEqual(bashOffers('tapster', 'down', '--socket', 'tapster.b'), ['tapster.bash']);
    assert.deepEqual(bashOffers('tapster', 'ctl', 'sh'), ['show']);
    assert.deepEqual(bashOffers('tapster', 'ctl', '--name', 'x', 'un'), ['unpublish']);
  });

  it('leaves what stands behind the options to the command', () => {
    assert.ok(bashOffers('tapster', 'run', '-v', '--', 'bas').includes('bash'));
    assert.ok(bashOffers('tapster', 'run', 'bas').includes('bash'));
    assert.deepEqual(bashOffers('tapster', 'run', 'cat', '--fl'), []);
    assert.ok(bashOffers('tapster', 'guest', '--fd', '3', '--', 'bas').includes('bash'));
    assert.deepEqual(bashOffers('tapster', 'run', '--', 'cat', 'tapster.b'), ['tapster.bash']);
  });
});

describe('completion for zsh', { skip: without('zsh') }, () => {
  it('loads', () => {
    const path = scriptFile('zsh', '_tapster');
    const script = `fpath=(${folder} $fpath); autoload -Uz compinit; compinit -u -D; source ${path}; print $_comps[tapster]`;
    const result = spawnSync('zsh', ['-f', '-c', script], { encoding: 'utf8' });
    assert.equal(result.stderr, '');
    assert.equal(result.stdout, '_tapster\n');
  });
});

describe('completion for fish', { skip: without('fish') }, () => {
  const offers = (line: string): string[] => {
    const script = `source ${scriptFile('fish', 'tapster.fish')}; complete -C ${JSON.stringify(line)}`;
    const result = spawnSync('fish', ['--no-config', '-c', script], { encoding: 'utf8', cwd: folder });
    assert.equal(result.stderr, '');
    return result.stdout.split('\n').map((text) => text.split('\t')[0] as string);
  };

  it('offers commands, options and shells', () => {
    assert.deepEqual(offers('tapster doc'), ['doctor', '']);
    assert.deepEqual(offers('tapster completion z'), ['zsh', '']);
    assert.deepEqual(offers('tapster run --no-d'), ['--no-dns', '']);
    assert.deepEqual(offers('tapster run --mtu 1500 -v --fl'), ['--flows', '']);
    assert.ok(offers('tapster run --pcap tapster.f').includes('tapster.fish'));
  });

  it('knows the commands of engines', () => {
    assert.deepEqual(offers('tapster up --det'), ['--detach', '']);
    assert.deepEqual(offers('tapster up --log-level w'), ['warning', '']);
    assert.ok(offers('tapster apply tapster.f').includes('tapster.fish'));
    assert.deepEqual(offers('tapster ctl unp'), ['unpublish', '']);
    assert.deepEqual(offers('tapster down --so'), ['--socket', '']);
  });

  it('leaves what stands behind the options to the command', () => {
    assert.ok(offers('tapster run -v -- fis').includes('fish'));
    assert.ok(offers('tapster run --mtu 1500 fis').includes('fish'));
    assert.ok(!offers('tapster run -- cat --fl').includes('--flows'));
  });
});
