/**
 * DPDK's testpmd as the guests: small frames through queues whose other side runs at the same time, on another processor where there is one. What counts is the processor time of
 * our own process: how much the other takes, and what else the machine does, changes it little.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startConfigured } from './forward-movers.ts';
import type { Measurement } from './harness.ts';
import { complaint, cpuSeconds, type Program, said, start, sweep } from './process.ts';

const LIMIT_MS = 90_000;
const TESTPMD = 'dpdk-testpmd';
const PROMPT = 'testpmd> ';
/** Behind so many frames all is warm. */
const WARM_FRAMES = 2_000_000;
const WARM_FRAMES_QUICK = 1000;
/** Bursts of 32 frames each that go round. */
const ROUND_BURSTS = 8;

/** `in`: frames for nobody. `bridged`: frames go round between two guests. */
export type TestpmdWay = 'in' | 'bridged';

export function whyNoTestpmd(): string | undefined {
  return spawnSync(TESTPMD, ['--version']).error === undefined ? undefined : `${TESTPMD} is not installed`;
}

/** Million frames for each second of our processor time. */
export async function measureTestpmd(way: TestpmdWay, milliseconds: number, quick: boolean): Promise<Measurement> {
  const folder = mkdtempSync(join(tmpdir(), 'tapster-bench-'));
  const sockets = (way === 'in' ? ['vm0'] : ['vm0', 'vm1']).map((name) => join(folder, name));
  const bridge = way === 'in' ? {} : { bridge: 'lan' };
  const interfaces = Object.fromEntries(sockets.map((socket, i) => [`vm${i}`, { vhostUser: { socket }, ...bridge }]));
  const engine = startConfigured({ interfaces, ...(way === 'in' ? {} : { bridges: { lan: {} } }) }, LIMIT_MS);
  try {
    const early = await said(engine);
    if (early !== undefined) return { failed: complaint(early, LIMIT_MS) };
    const testpmd = new Testpmd(folder, sockets, way === 'in' ? 'txonly' : 'io');
    try {
      await testpmd.run(way === 'in' ? 'start' : `start tx_first ${ROUND_BURSTS}`);
      const warm = quick ? WARM_FRAMES_QUICK : WARM_FRAMES;
      while ((await testpmd.frames(way)) < warm);
      const [frames, seconds] = [await testpmd.frames(way), cpuSeconds(engine)];
      await sleep(milliseconds);
      return { value: ((await testpmd.frames(way)) - frames) / (cpuSeconds(engine) - seconds) / 1e6 };
    } catch {
      return { failed: `testpmd: ${complaint(await testpmd.end(), LIMIT_MS)}` };
    } finally {
      await testpmd.end();
    }
  } finally {
    sweep(engine.child);
    await engine.ended;
    rmSync(folder, { recursive: true });
  }
}

class Testpmd {
  readonly #program: Program;
  #printed: string = '';

  /** A port for each socket. */
  constructor(folder: string, sockets: readonly string[], mode: string) {
    const devices = sockets.map((path, i) => `--vdev=net_virtio_user${i},path=${path},queue_size=256`);
    this.#program = start(
      [
        ...['env', `XDG_RUNTIME_DIR=${folder}`, 'stdbuf', '-oL', TESTPMD],
        ...['--no-huge', '-m', '256', '--no-pci', '-l', '0-1', ...devices],
        ...['--', '-i', '--total-num-mbufs=8192', '--txd=256', '--rxd=256', `--forward-mode=${mode}`],
      ],
      LIMIT_MS,
    );
    this.#program.child.stdout!.on('data', (text: string) => {
      this.#printed += text;
    });
  }

  /** Has it do a line, and gives what it said to it. Throws when it has ended. */
  async run(line: string): Promise<string> {
    await this.#prompt();
    this.#printed = '';
    this.#program.child.stdin!.write(`${line}\n`);
    await this.#prompt();
    return this.#printed;
  }

  /** How many it has sent, or, bridged, received. */
  async frames(way: TestpmdWay): Promise<number> {
    const said = await this.run('show port stats all');
    const counts = said.matchAll(way === 'in' ? /TX-packets: (\d+)/g : /RX-packets: (\d+)/g);
    return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
  }

  async end(): Promise<Awaited<Program['ended']>> {
    sweep(this.#program.child);
    return await this.#program.ended;
  }

  async #prompt(): Promise<void> {
    while (!this.#printed.endsWith(PROMPT)) {
      const ended = await said(this.#program);
      if (ended !== undefined) throw new Error('testpmd has ended');
    }
  }
}
