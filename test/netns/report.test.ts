/** What Tapster tells of what went on: --pcap, --flows, --summary, -v, doctor. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { it } from 'node:test';
import { PLACES } from '../support/netns/internet.ts';
import { inLab } from '../support/netns/lab.ts';
import { eventually, execute } from '../support/netns/process.ts';
import { lacking } from '../support/netns/programs.ts';

inLab('reports', (lab) => {
  // covers P16
  it('--pcap writes what passes while it passes, readable for tshark, with comments', {
    skip: lacking('tshark'),
  }, async () => {
    const path = lab.newPath('capture.pcapng');
    const command = `${lab.clientText('exchange', PLACES.server[4], '7', 'hello')}; echo first; read go; ${lab.clientText('exchange', PLACES.server[6], '7', 'hello')}`;
    const program = lab.start(['run', '--pcap', path, '--', 'sh', '-c', command], { keepInput: true });
    await program.says(/^first$/m);
    let during: string[] = [];
    await eventually('the capture has the first conversation', async () => {
      during = existsSync(path) ? await framesOf(path) : [];
      return during.some((line) => line.includes(PLACES.server[4]));
    });
    program.write('go\n');
    assert.equal((await program.ended).status, 0);
    const frames = await framesOf(path);
    assert.ok(frames.length > during.length);
    assert.ok(frames.some((line) => line.includes(PLACES.server[6])));
    const comments = await tshark(path, '-T', 'fields', '-e', 'frame.comment');
    assert.match(comments, /tcp.*10\.99\.0\.2/);
  });

  it('no packet of a capture is malformed', {
    skip: lacking('tshark', 'curl', 'dig'),
  }, async () => {
    const path = lab.newPath('capture.pcapng');
    const ran = await lab.runShell(
      ['--pcap', path],
      'curl -4sS http://www.test/bytes/100000 -o /dev/null; dig +short www.test; ping -c 1 198.51.100.1',
    );
    assert.equal(ran.status, 0, ran.stderr);
    assert.equal(await tshark(path, '-Y', '_ws.malformed'), '');
  });

  it('--flows tells of each flow when it opens and when it closes', async () => {
    const ran = await lab.run([], lab.client('exchange', PLACES.server[4], '7', 'hello'));
    const [open] = ran.opened;
    const [close] = ran.closed;
    assert.deepEqual([ran.opened.length, ran.closed.length], [1, 1]);
    assert.equal(open?.outcome, 'established');
    assert.equal(open.id, close?.id);
    assert.deepEqual(close?.remote, { address: PLACES.server[4], port: 7 });
    assert.equal(close.guest.address, PLACES.host[4]);
    assert.deepEqual([close.direction, close.protocol, close.outcome], ['out', 'tcp', 'closed']);
    assert.deepEqual([close.bytesOut, close.bytesIn], [5, 5]);
    assert.ok(close.packetsOut >= 3 && close.packetsIn >= 3);
    assert.ok(close.durationMs >= 0 && close.durationMs < ran.durationMs, `${close.durationMs} ms`);
    assert.ok(
      close.rttUs === undefined || (close.rttUs > 0 && close.rttUs < ran.durationMs * 1000),
      `${close.rttUs} us`,
    );
    assert.ok(Date.parse(close.time) >= Date.parse(open.time));
    assert.equal(close.target, undefined);
  });

  it('--summary ends with a table by name, protocol and port', { skip: lacking('curl') }, async () => {
    const ran = await lab.runShell(['--summary'], 'curl -4sS http://www.test/; curl -4sS http://www.test/');
    assert.equal(ran.stdout.match(/hello/g)?.length, 2);
    assert.match(ran.stderr, /www\.test\s+tcp\s+80\s/);
    assert.ok(!ran.stderr.includes('\x1b['), 'no colours where there is no terminal');
  });

  it('-v tells of flows as they open and close', async () => {
    const ran = await lab.run(['-v'], lab.client('exchange', PLACES.server[4], '7', 'hello'));
    assert.match(ran.stderr, /#\d+ open +tcp 10\.99\.0\.2:\d+ > 198\.51\.100\.1:7 established/);
    assert.match(ran.stderr, /#\d+ close +tcp .* closed after/);
  });

  it('nothing is said when nothing went wrong', async () => {
    const ran = await lab.run([], lab.client('exchange', PLACES.server[4], '7', 'hello'));
    assert.equal(ran.stderr, '');
  });

  it('doctor finds this machine fit, and says what it found', async () => {
    const ended = await lab.start(['doctor']).ended;
    assert.equal(ended.status, 0, ended.stdout + ended.stderr);
    assert.match(ended.stdout, /\/dev\/net\/tun/);
    assert.match(ended.stdout, /ping/i);
  });
});

async function framesOf(path: string): Promise<string[]> {
  return (await tshark(path)).split('\n').filter(Boolean);
}

/** A file that is being written may end within a block: tshark shows what is there, and says so with its status. */
async function tshark(path: string, ...words: readonly string[]): Promise<string> {
  const ended = await execute(['tshark', '-n', '-r', path, ...words]);
  return ended.stdout;
}
