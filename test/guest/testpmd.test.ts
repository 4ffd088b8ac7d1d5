/**
 * DPDK's testpmd (Debian's `dpdk-dev`) as a vhost-user front end: a virtio driver that is not Linux's, with huge frames, frames in many buffers, and several queues. What it sends
 * is for nobody; that all of it is taken, and nothing found wrong with it, is what is asked.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('../../cli/main.js', import.meta.url));
const TESTPMD = 'dpdk-testpmd';
const RUN_MS = 3000;
const STEP_TIMEOUT_MS = 20_000;
const isThere = spawnSync(TESTPMD, ['--help'], { stdio: 'ignore' }).error === undefined;

/** Runs testpmd against a fresh `tapster guest`: how many packets it has sent, and what Tapster said. */
async function flood(
  queues: number,
  options: readonly string[],
): Promise<{ sent: number; bytes: number; said: string; output: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'testpmd-'));
  const socket = join(folder, 'socket');
  const words = ['guest', '--vhost-user', '--queues', String(queues), '--socket', socket, '--one-off'];
  const tapster = spawn(process.execPath, [PROGRAM, ...words], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  tapster.stderr.on('data', (chunk) => (said += chunk));
  const ended = once(tapster, 'exit');
  try {
    for (let waited = 0; !existsSync(socket) && waited < STEP_TIMEOUT_MS; waited += 50) await sleep(50);
    const testpmd = spawn(TESTPMD, [
      ...['--no-huge', '-m', '512', '--no-pci', '-l', '0-1', '--file-prefix', `tapster-${process.pid}`],
      ...['--vdev', `net_virtio_user0,path=${socket},queues=${queues},queue_size=256`, '--', '-i'],
      ...[
        '--total-num-mbufs=16384',
        '--txd=256',
        '--rxd=256',
        '--forward-mode=txonly',
        `--txq=${queues}`,
        `--rxq=${queues}`,
        ...options,
      ],
    ]);
    let output = '';
    for (const stream of [testpmd.stdout, testpmd.stderr]) stream.on('data', (chunk) => (output += chunk));
    const over = setTimeout(() => testpmd.kill('SIGKILL'), STEP_TIMEOUT_MS);
    while (!output.includes('testpmd>') && testpmd.exitCode === null && testpmd.signalCode === null) await sleep(50);
    testpmd.stdin.write('start\n');
    await sleep(RUN_MS);
    testpmd.stdin.end('stop\nshow port stats 0\nquit\n');
    await once(testpmd, 'exit');
    clearTimeout(over);
    const [status] = await Promise.race([ended, sleep(STEP_TIMEOUT_MS, ['still there'])]);
    assert.equal(status, 0, said);
    const last = [...output.matchAll(/TX-packets: (\d+) +TX-errors: \d+ +TX-bytes: +(\d+)/g)].at(-1);
    return { sent: Number(last?.[1] ?? 0), bytes: Number(last?.[2] ?? 0), said, output };
  } finally {
    tapster.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  }
}

describe('testpmd as the front end', { skip: isThere ? false : `${TESTPMD} is not installed` }, () => {
  for (const [what, size, queues, options] of [
    ['frames of 64 bytes', 64, 1, []],
    ['frames of 1,514 bytes in three buffers, by two queues', 1514, 2, ['--txpkts=64,300,1150']],
    ['frames of 9,000 bytes', 9000, 1, ['--mbuf-size=9728', '--max-pkt-len=9018', '--txpkts=9000']],
  ] as const) {
    it(`sends ${what}`, async (t) => {
      const { sent, bytes, said, output } = await flood(queues, options);
      t.diagnostic(`${Math.round(sent / RUN_MS)} packets per ms`);
      assert.ok(sent > 10_000, output);
      assert.equal(Math.round(bytes / sent), size, 'bytes of each');
      assert.doesNotMatch(said, /warning|broken/);
    });
  }
});
