/** The session on a terminal: what keys do. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { complete } from './complete.ts';
import { type Call, fakeClient } from './fake-client-fixture.test.ts';
import { GRAMMAR } from './grammar.ts';
import { HISTORY_LINES_MAX, History } from './history.ts';
import { Session } from './session.ts';
import { runShell } from './shell.ts';

const folder = mkdtempSync(join(tmpdir(), 'tapster-shell-'));
after(() => rmSync(folder, { recursive: true }));

const ANSWERS = {
  interfaces: [{ name: 'tap0' }, { name: 'tap0.100' }, { name: 'bvi.lan' }],
  taps: [{ name: 'tap0' }],
  nodes: ['ip4-input', 'ip4-lookup'],
  changeInterface: undefined,
};

/** Keys in, what was asked of the engine and what stands on the screen out. */
async function type(...keys: readonly string[]): Promise<{ calls: Call[]; screen: string }> {
  const calls: Call[] = [];
  const input = new PassThrough();
  const output = new PassThrough();
  let screen = '';
  output.on('data', (bytes) => {
    screen += String(bytes);
  });
  const session = new Session({
    connect: async () => fakeClient(calls, ANSWERS),
    out: (text) => output.write(text),
    error: (text) => output.write(text),
    layout: { columns: 80, colours: false },
  });
  process.env['XDG_STATE_HOME'] = folder;
  const ended = runShell(session, input, output, 'tapster> ');
  for (const key of keys) {
    input.write(key);
    // A key's work may ask the engine.
    await sleep(15);
  }
  await ended;
  return { calls, screen };
}

const TAB = '\t';
const CTRL_C = '\u0003';
const CTRL_D = '\u0004';

describe('the session on a terminal', () => {
  it('does lines, completes with Tab, and ends with Ctrl-D', async () => {
    const { calls } = await type('set int', TAB, 'mtu 1400 tap0.', TAB, '\r', CTRL_D);
    assert.deepEqual(
      calls.filter(([method]) => method === 'changeInterface'),
      [['changeInterface', 'tap0.100', { mtu: 1400 }]],
    );
  });

  it('shows help in place, and leaves the line as it is', async () => {
    const { calls, screen } = await type('set interface state ', '?', 'tap0 ', '?', 'up\r', CTRL_D);
    assert.match(screen, / {2}IF {2}an interface: tap0/);
    assert.match(screen, / {2}down {2}carries nothing\r?\n {2}up {4}carries packets/);
    assert.deepEqual(calls, [['changeInterface', 'tap0', { up: true }]]);
  });

  it('clears the line with Ctrl-C', async () => {
    const { calls, screen } = await type('clear tra', CTRL_C, 'clear errors\r', 'quit\r');
    assert.match(screen, /\^C/);
    assert.deepEqual(calls, [['clear', 'errors']]);
  });

  it('goes on after a mistake', async () => {
    const { calls, screen } = await type('shwo\r', 'clear errors\r', CTRL_D);
    assert.match(screen, /did you mean "show"/);
    assert.deepEqual(calls, [['clear', 'errors']]);
  });

  it('keeps what was typed, for the user alone', () => {
    const path = join(folder, 'tapster', 'history');
    assert.match(readFileSync(path, 'utf8'), /^set interface mtu 1400 tap0\.100 ?\n/);
    assert.equal(statSync(path).mode & 0o777, 0o600);
  });
});

describe('the history', () => {
  it('is bounded, and has no line twice in a row', () => {
    const history = new History({ XDG_STATE_HOME: join(folder, 'other') });
    assert.deepEqual(history.read(), []);
    history.append(['a', 'a', '', 'b']);
    assert.deepEqual(history.read(), ['a', 'b']);
    history.append(Array.from({ length: HISTORY_LINES_MAX + 5 }, (_, at) => `line ${at}`));
    assert.equal(history.read().length, HISTORY_LINES_MAX);
    assert.equal(history.read().at(-1), `line ${HISTORY_LINES_MAX + 4}`);
  });

  it('is none without a folder', () => {
    const history = new History({});
    history.append(['a']);
    assert.deepEqual(history.read(), []);
  });
});

describe('completion', () => {
  const offers = async (text: string): Promise<readonly string[]> =>
    (await complete(GRAMMAR, text, async () => fakeClient([], ANSWERS)))[0];

  it('offers names that the engine knows', async () => {
    assert.deepEqual(await offers('show interface t'), ['tap0', 'tap0.100']);
    assert.deepEqual(await offers('delete tap '), ['tap0 ']);
    assert.deepEqual(await offers('trace add ip4-l'), ['ip4-lookup ']);
    assert.deepEqual(await offers('show interface '), ['addr', 'rx-placement', 'bvi.lan', 'tap0', 'tap0.100']);
  });

  it('offers files', async () => {
    writeFileSync(join(folder, 'lab.ctl'), '');
    assert.deepEqual(await offers(`exec ${folder}/la`), [`${folder}/lab.ctl `]);
    assert.deepEqual(await offers(`exec ${folder}/tap`), [`${folder}/tapster/`]);
  });

  it('offers words without an engine too', async () => {
    const gone = async (): Promise<never> => {
      throw new Error('no engine');
    };
    assert.deepEqual((await complete(GRAMMAR, 'show interface ', gone))[0], ['addr', 'rx-placement']);
  });
});
