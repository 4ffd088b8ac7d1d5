import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { eventually } from '../base/eventually-fixture.test.ts';
import { FileAppender } from './file-appender.ts';
import { closeLine, FlowLog, openFlowLog, openLine } from './flow-log.ts';
import { flowRecord } from './flow-record-fixture.test.ts';

const folder = mkdtempSync(join(tmpdir(), 'tapster-flows-'));
after(() => rmSync(folder, { recursive: true }));

function open(path: string): { log: FlowLog; reports: string[] } {
  const reports: string[] = [];
  const opened = openFlowLog(path, (message) => reports.push(message));
  assert.ok(opened.ok);
  return { log: opened.value, reports };
}

describe('openLine, closeLine', () => {
  it('have the documented fields, and leave out what is not known', () => {
    const record = flowRecord({ outcome: 'established', rttUs: undefined, name: undefined });
    assert.deepEqual(JSON.parse(openLine(record)), {
      event: 'open',
      id: 7,
      time: '2026-01-02T03:04:05.678Z',
      protocol: 'tcp',
      direction: 'out',
      guest: { address: '10.0.2.15', port: 40_312 },
      remote: { address: '192.0.2.7', port: 443 },
      outcome: 'established',
    });
    assert.deepEqual(JSON.parse(closeLine(flowRecord({ target: { address: '127.0.0.1', port: 80 } }))), {
      event: 'close',
      id: 7,
      time: '2026-01-02T03:04:06.928Z',
      protocol: 'tcp',
      direction: 'out',
      guest: { address: '10.0.2.15', port: 40_312 },
      remote: { address: '192.0.2.7', port: 443 },
      target: { address: '127.0.0.1', port: 80 },
      name: 'example.org',
      outcome: 'closed',
      packetsOut: 9,
      packetsIn: 8,
      bytesOut: 517,
      bytesIn: 4200,
      durationMs: 1250,
      rttUs: 12_345,
    });
  });

  it('are one line of ASCII whatever the name holds', () => {
    const name = 'a\n\u001b[2J\u202e\u{1f600}';
    const line = openLine(flowRecord({ name }));
    assert.match(line, /^[\x20-\x7e]+\n$/);
    assert.equal((JSON.parse(line) as { name: string }).name, name);
  });
});

describe('FlowLog', () => {
  it('appends in order and keeps what was there', async () => {
    const path = join(folder, 'order');
    writeFileSync(path, 'earlier\n');
    const { log, reports } = open(path);
    for (let id = 0; id < 1000; id++) log.opened(flowRecord({ id }));
    await log.close();
    const lines = readFileSync(path, 'utf8').split('\n');
    assert.equal(lines.shift(), 'earlier');
    assert.equal(lines.pop(), '');
    assert.deepEqual(
      lines.map((line) => (JSON.parse(line) as { id: number }).id),
      Array.from({ length: 1000 }, (_, id) => id),
    );
    assert.deepEqual(reports, []);
  });

  it('is seen by a reader at once', async () => {
    const path = join(folder, 'follow');
    const { log } = open(path);
    log.opened(flowRecord());
    await eventually('it is written', () => readFileSync(path).length > 0);
    assert.equal(readFileSync(path, 'utf8'), openLine(flowRecord()));
    await log.close();
  });

  it('never waits for a reader that is slow, loses whole lines only, and says how many', async () => {
    const path = join(folder, 'slow');
    assert.equal(spawnSync('mkfifo', [path]).status, 0);
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const writer = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
    const reports: string[] = [];
    const log = new FlowLog(new FileAppender(writer, true, 200_000, assert.fail), path, (text) => reports.push(text));
    for (let id = 0; id < 2000; id++) log.opened(flowRecord({ id }));
    const closed = log.close();
    const lines = (await drain(reader, closed)).split('\n').slice(0, -1);
    assert.ok(lines.length > 100 && lines.length < 2000);
    for (const line of lines) JSON.parse(line);
    assert.deepEqual(reports, [`flow log "${path}": ${2000 - lines.length} lines were lost, its reader was too slow`]);
  });

  it('tells an error once and goes on without', async (t) => {
    const { log, reports } = open('/dev/full');
    if (reports.length > 0) return t.skip('/dev/full is not there');
    log.opened(flowRecord());
    await new Promise((done) => setTimeout(done, 20));
    log.closed(flowRecord());
    await log.close();
    assert.deepEqual(reports, ['flow log "/dev/full": ENOSPC; no more is written to it']);
  });

  it('says why a file can not be opened', () => {
    const opened = openFlowLog(join(folder, 'missing', 'file'), assert.fail);
    assert.ok(!opened.ok);
    assert.equal(opened.failure.code, 'file-not-writable');
    assert.match(opened.failure.message, /its directory does not exist$/);
    assert.equal(spawnSync('mkfifo', [join(folder, 'pipe')]).status, 0);
    const pipe = openFlowLog(join(folder, 'pipe'), assert.fail);
    assert.ok(!pipe.ok);
    assert.match(pipe.failure.message, /nobody reads this pipe/);
  });

  it('loses nothing when the process exits without closing it, and writes to inherited descriptors', () => {
    const module = new URL('./flow-log.js', import.meta.url).href;
    const script = `import { openFlowLog } from ${JSON.stringify(module)};
      const { value } = openFlowLog('/dev/stderr', () => {});
      const record = ${JSON.stringify(flowRecord())};
      for (let i = 0; i < 100; i++) value.opened({ ...record, id: i });
      setTimeout(() => { value.closed(record); value.closed(record); process.exit(3); }, 20);`;
    const result = spawnSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' });
    assert.equal(result.status, 3);
    assert.equal(result.stderr.trim().split('\n').length, 102);
  });
});

/** Reads until `ended` resolves and the pipe is empty. */
async function drain(fd: number, ended: Promise<void>): Promise<string> {
  let done = false;
  ended.then(() => {
    done = true;
  });
  const buffer = Buffer.alloc(65_536);
  let text = '';
  for (;;) {
    let count = 0;
    try {
      count = readSync(fd, buffer);
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN');
    }
    text += buffer.toString('utf8', 0, count);
    if (count === 0 && done) break;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  closeSync(fd);
  return text;
}
