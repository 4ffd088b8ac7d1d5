import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { describe, it } from 'node:test';

const MODULE = new URL('./standard-error.js', import.meta.url).href;

/** Starts a program that has `error`, its standard error; what it tells us goes to its standard output. */
function start(script: string): ChildProcess {
  const program = `
    import { StandardError } from ${JSON.stringify(MODULE)};
    import { readFileSync } from 'node:fs';
    const error = new StandardError();
    ${script}`;
  return spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['pipe', 'pipe', 'pipe'] });
}

async function text(child: ChildProcess, stream: 'stdout' | 'stderr'): Promise<string> {
  let all = '';
  for await (const chunk of child[stream] ?? []) all += String(chunk);
  return all;
}

async function run(script: string): Promise<{ out: string; error: string }> {
  const child = start(script);
  const [out, error] = await Promise.all([text(child, 'stdout'), text(child, 'stderr')]);
  return { out, error };
}

describe('the standard error beside a command', () => {
  it('gets all lines in order before it is closed', async () => {
    const { error } = await run(`
      for (let i = 0; i < 5000; i++) error.write('line ' + i + '\\n');
      await error.close();
      process.exit(0);`);
    assert.equal(error, Array.from({ length: 5000 }, (_, i) => `line ${i}\n`).join(''));
  });

  it('gets what was written before the process exits without closing it', async () => {
    const { error } = await run(`error.write('first\\n'); error.write('second\\n'); process.exit(0);`);
    // Their order is not: the first may be with a thread while the second goes out at once.
    assert.deepEqual(error.split('\n').sort(), ['', 'first', 'second']);
  });

  it('stays blocking, for the command has the same pipe', async () => {
    const { out } = await run(`
      error.write('a line\\n');
      error.layout();
      await error.close();
      const flags = /flags:\\s+(\\d+)/.exec(readFileSync('/proc/self/fdinfo/2', 'utf8'))[1];
      console.log(parseInt(flags, 8) & 0o4000);`);
    assert.equal(out, '0\n');
  });

  it('has no colours and no width where it is no terminal', async () => {
    const { out } = await run(`console.log(JSON.stringify(error.layout()));`);
    const layout = JSON.parse(out) as Record<string, unknown>;
    assert.equal(Object.values(layout).includes(true), false, out);
  });

  it('never holds up who writes, although nobody reads', { timeout: 90_000 }, async () => {
    const child = start(`
      const startedAt = performance.now();
      for (let i = 0; i < 30_000; i++) error.write('x'.repeat(100) + '\\n');
      const wroteMs = performance.now() - startedAt;
      let beats = 0;
      const heart = setInterval(() => beats++, 10);
      await error.close();
      clearInterval(heart);
      console.log(JSON.stringify({ wroteMs, beats, closedMs: performance.now() - startedAt - wroteMs }));
      process.exit(0);`);
    const told = await new Promise<string>((resolve) => child.stdout?.once('data', (chunk) => resolve(String(chunk))));
    // A write that is stuck keeps the process until somebody reads, or the reader goes.
    child.stderr?.destroy();
    await new Promise((resolve) => child.once('close', resolve));
    const { wroteMs, beats, closedMs } = JSON.parse(told) as Record<string, number>;
    // Who is held up hears no beat, and not before its reader has gone.
    assert.ok(beats > 0 && closedMs >= 900, `${wroteMs} ${beats} ${closedMs}`);
  });

  it('says how many messages were lost, where they were', { timeout: 90_000 }, async () => {
    const child = start(`
      for (let i = 0; i < 20_000; i++) error.write('x'.repeat(99) + '\\n');
      console.log('full');
      await new Promise((resolve) => process.stdin.once('data', resolve));
      error.write('at last\\n');
      await error.close();
      process.exit(0);`);
    await new Promise((resolve) => child.stdout?.once('data', resolve));
    let read = 0;
    let all = '';
    child.stderr?.on('data', (chunk) => {
      all += String(chunk);
      read += chunk.length;
      // All that was kept has come: there is room again.
      if (read > 1_000_000 && child.stdin?.writable) child.stdin.end('go');
    });
    await new Promise((resolve) => child.once('close', resolve));
    const lines = all.split('\n');
    const kept = lines.filter((line) => line.startsWith('x')).length;
    assert.equal(lines.at(-3), `tapster: ${20_000 - kept} messages were lost here, because nobody read them`);
    assert.equal(lines.at(-2), 'at last');
  });
});
