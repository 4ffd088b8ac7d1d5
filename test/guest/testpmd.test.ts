/**
 * DPDK's testpmd (Debian's `dpdk-dev`) as a vhost-user front end: a virtio driver that is not Linux's, with huge frames, frames in many buffers, and several queues.
 *
 * It sends into a `tapster guest`, where what it sends is for nobody; and its two ports lie in a bridge, between which frames go round for as long as none is lost.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually, Program } from '../support/netns/process.ts';
import { lacking } from '../support/netns/programs.ts';

const TAPSTER = [process.execPath, fileURLToPath(new URL('../../cli/main.js', import.meta.url))];
const ENDLESS = { timeoutMs: 0, keepInput: true } as const;
const PROMPT = 'testpmd> ';
const SENT = 10_000;
const QUEUE_SIZE = 256;
/** Frames that are on their way at once, when it goes round. */
const BURST = 32;
const MTU = 9000;

interface Stats {
  readonly received: number;
  readonly receivedBytes: number;
  readonly sent: number;
  readonly sentBytes: number;
}

/** A run of it, with one port for each socket. */
class Testpmd {
  readonly program: Program;

  constructor(sockets: readonly string[], device: string, words: readonly string[]) {
    const vdevs = sockets.map((path, i) => `--vdev=net_virtio_user${i},path=${path},queue_size=${QUEUE_SIZE}${device}`);
    this.program = new Program(
      [
        ...['stdbuf', '-oL', 'dpdk-testpmd', '--no-huge', '-m', '256', '--no-pci', '-l', '0-1', ...vdevs],
        ...[`--file-prefix=tapster-${process.pid}`, '--', '-i', '--total-num-mbufs=8192'],
        ...[`--txd=${QUEUE_SIZE}`, `--rxd=${QUEUE_SIZE}`, ...words],
      ],
      ENDLESS,
    );
  }

  /** Has it do a line, and gives what it said to it. */
  async run(line: string): Promise<string> {
    const { program } = this;
    await program.says(new RegExp(`${PROMPT}$`));
    const from = program.stdout.length;
    program.write(`${line}\n`);
    await program.says(new RegExp(`\n${PROMPT}$`), from);
    return program.stdout.slice(from);
  }

  async stats(): Promise<Stats[]> {
    const said = await this.run('show port stats all');
    const counts = said.matchAll(/RX-packets: (\d+).*RX-bytes: +(\d+)[^T]*TX-packets: (\d+).*TX-bytes: +(\d+)/g);
    return [...counts].map(([, ...all]) => {
      const [received = 0, receivedBytes = 0, sent = 0, sentBytes = 0] = all.map(Number);
      return { received, receivedBytes, sent, sentBytes };
    });
  }

  /** Waits until each port has sent and, unless `sendsOnly`, received so many packets. */
  async counts(packets: number, sendsOnly: boolean): Promise<void> {
    const isEnough = ({ received, sent }: Stats): boolean => sent >= packets && (sendsOnly || received >= packets);
    for (;;) if ((await this.stats()).every(isEnough)) return;
  }

  async quit(): Promise<void> {
    this.program.write('quit\n');
    await this.program.ended;
  }
}

const folder = mkdtempSync(join(tmpdir(), 'testpmd-'));

describe('testpmd as the front end', { skip: lacking('dpdk-testpmd', 'stdbuf') }, () => {
  after(() => rmSync(folder, { recursive: true }));

  for (const [what, size, queues, words] of [
    ['frames of 64 bytes', 64, 1, []],
    ['frames of 1,514 bytes in three buffers, by two queues', 1514, 2, ['--txpkts=64,300,1150']],
    ['frames of 9,000 bytes', 9000, 1, ['--mbuf-size=9728', '--max-pkt-len=9018', '--txpkts=9000']],
  ] as const) {
    it(`sends ${what}`, async () => {
      const socket = join(folder, `socket-${size}`);
      const options = ['--vhost-user', '--queues', String(queues), '--socket', socket, '--one-off'];
      const tapster = new Program([...TAPSTER, 'guest', ...options], ENDLESS);
      await eventually('Tapster listens', () => existsSync(socket));
      const queuesWords = [`--txq=${queues}`, `--rxq=${queues}`, '--forward-mode=txonly'];
      const testpmd = new Testpmd([socket], `,queues=${queues}`, [...queuesWords, ...words]);
      await testpmd.run('start');
      await testpmd.counts(SENT, true);
      await testpmd.run('stop');
      const [{ sent, sentBytes } = { sent: 0, sentBytes: 0 }] = await testpmd.stats();
      assert.equal(sentBytes / sent, size, 'bytes of each');
      await testpmd.quit();
      const { status, stderr } = await tapster.ended;
      assert.equal(status, 0, stderr);
      assert.doesNotMatch(stderr, /warning|broken/);
    });
  }

  describe('on both sides of a bridge', () => {
    const sockets = [0, 1].map((i) => join(folder, `port-${i}`));
    let tapster: Program;
    before(async () => {
      const port = (socket: string): string =>
        `{ vhostUser: { socket: ${socket}, queues: 2 }, mtu: ${MTU}, bridge: lan }`;
      const config = join(folder, 'bridge.yaml');
      writeFileSync(
        config,
        `interfaces:\n  vm0: ${port(sockets[0]!)}\n  vm1: ${port(sockets[1]!)}\nbridges: { lan: {} }\n`,
      );
      tapster = new Program([...TAPSTER, 'up', config, '--socket', join(folder, 'control')], ENDLESS);
      await eventually('Tapster listens', () => sockets.every((socket) => existsSync(socket)));
    });
    after(async () => {
      tapster.kill('SIGTERM');
      await tapster.ended;
    });

    for (const [what, sizes, device, words] of [
      ['64 bytes, by two queues', [64], ',queues=2', ['--txq=2', '--rxq=2']],
      ['1,514 bytes in three buffers', [64, 300, 1150], '', []],
      ['1,514 bytes in one buffer each, without merging', [1514], ',mrg_rxbuf=0,in_order=0', []],
      ['1,514 bytes by vector instructions', [1514], ',mrg_rxbuf=0,in_order=1,vectorized=1', []],
      [
        '9,000 bytes in as many buffers as it takes',
        [1800, 1800, 1800, 1800, 1800],
        '',
        ['--max-pkt-len=9014', '--enable-scatter'],
      ],
      ['9,000 bytes in one buffer', [9000], ',mrg_rxbuf=0,in_order=0', ['--mbuf-size=9728', '--max-pkt-len=9014']],
    ] as const) {
      it(`loses none of ${what}`, async (t: TestContext) => {
        const testpmd = new Testpmd(sockets, device, [...words, '--forward-mode=io']);
        await testpmd.run(`set txpkts ${sizes.join(',')}`);
        await testpmd.run('start tx_first');
        await testpmd.counts(SENT, false);
        await testpmd.run('stop');
        const ports = await testpmd.stats();
        const size = sizes.reduce((sum, bytes) => sum + bytes, 0);
        for (const [i, { received, receivedBytes }] of ports.entries()) {
          const { sent, sentBytes } = ports[1 - i]!;
          assert.ok(sent - received >= 0 && sent - received <= 4 * BURST, `${sent} sent, ${received} received`);
          assert.deepEqual([receivedBytes / received, sentBytes / sent], [size, size], 'bytes of each');
        }
        t.diagnostic(`${ports[0]!.sent + ports[1]!.sent} packets`);
        await testpmd.quit();
        assert.doesNotMatch(tapster.stderr, /warning|broken|can't be/);
      });
    }
  });
});
