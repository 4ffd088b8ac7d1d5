/** A machine that goes from one interface of a bridge to another while it runs, as from host to host: its connections go on, and the bridge learns where it is. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { qemuVhostUserArguments } from '#tapster/engine/qemu-arguments.js';
import { inLab, Namespace, onOwnMachine } from '../network/lab.ts';
import { patternHash } from '../support/netns/pattern.ts';
import { eventually, Program } from '../support/netns/process.ts';
import { type Image, Machine, qemuWords, SHARED_MEMORY, vmImage, withoutVectors } from './machine.ts';
import { Qmp, qmpWords } from './qmp.ts';

await onOwnMachine(import.meta.url);

const image = vmImage();
const folder = mkdtempSync(join(tmpdir(), 'tapster-migration-'));
const CONFIG = `
interfaces:
  vm0: { vhostUser: { socket: ${folder}/vm0.sock }, bridge: lan }
  vm1: { vhostUser: { socket: ${folder}/vm1.sock }, bridge: lan }
  tap0: { tap: { host: { name: eth0, namespace: red, address: [10.1.0.2/24] } }, bridge: lan }
bridges: { lan: { bvi: { address: [10.1.0.1/24], services: { dhcp: { pool: 10.1.0.100-10.1.0.199 } } } } }
`;
/** QEMU's own, which all machines have that are given none. */
const MAC = '52:54:00:12:34:56';
/** More than there is time for. */
const ENDLESS_BYTES = 1_000_000_000_000;
const STEP_BYTES = 5_000_000;

interface Running {
  readonly vm: Machine;
  readonly qmp: Qmp;
}

describe('a machine that goes from one interface to another', {
  skip: typeof image === 'string' ? image : false,
}, () => {
  const lab = inLab();
  let red: Namespace;
  let here: Running;
  let starts = 0;
  before(async () => {
    red = new Namespace('red');
    await lab.apply(CONFIG);
    await red.serve();
    here = await start('vm0');
    await here.vm.booted();
    await here.vm.run('/up');
  });
  after(() => {
    red.delete();
    rmSync(folder, { recursive: true, force: true });
  });

  /** The machine has no way to tell where it has come to: QEMU has us do it. */
  async function start(place: string, ...others: readonly string[]): Promise<Running> {
    const path = join(folder, `${starts++}.qmp`);
    const device = withoutVectors(qemuVhostUserArguments(join(folder, `${place}.sock`), 1)).map((word) =>
      word.replace('virtio-net-pci,', 'virtio-net-pci,guest_announce=off,'),
    );
    const words = [...qemuWords(image as Image), ...SHARED_MEMORY, ...device, ...qmpWords(path), ...others];
    const vm = new Machine(new Program(words, { timeoutMs: 0, keepInput: true }));
    return { vm, qmp: await Qmp.connect(path) };
  }

  async function go(place: string): Promise<void> {
    const there = await start(place, '-incoming', 'defer');
    await here.qmp.migrateTo(there.qmp, `unix:${join(folder, 'migration')}`);
    here = there;
  }

  /** A line that ends when so many bytes more have come to the machine. */
  const RECEIVES = `at() { cat /sys/class/net/eth0/statistics/rx_bytes; }; from=$(at); until [ $(at) -gt $((from + ${STEP_BYTES})) ]; do sleep 0.1; done`;

  it('has all bytes of a connection, which goes on', async () => {
    await here.vm.run('mkfifo /copy && (wc -c </copy >/count; touch /counted) >/dev/null &');
    here.vm.begin(
      `(echo ${ENDLESS_BYTES} | nc 10.1.0.2 19 | tee /copy | sha256sum >/sum; touch /summed) 2>/dev/null &`,
    );
    await here.vm.run(RECEIVES);
    await go('vm1');
    await here.vm.run(RECEIVES);
    const [count, sum] = (
      await here.vm.run('killall nc; until [ -e /counted ] && [ -e /summed ]; do sleep 0.1; done; cat /count /sum')
    )
      .trim()
      .split(/\s+/);
    assert.ok(Number(count) > 2 * STEP_BYTES, `${count} bytes`);
    assert.equal(sum, patternHash(Number(count)), `${count} bytes`);
    assert.equal(lab.interface('vm0').linkUp, false);
  });

  it('is announced where it has come to, though it says nothing', async () => {
    const isAt = (): string | undefined => lab.network.stations('lan').find(({ mac }) => mac === MAC)?.interface;
    assert.equal(isAt(), 'vm1');
    await here.vm.run('echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6');
    await go('vm0');
    await eventually('the bridge knows where the machine is', () => isAt() === 'vm0');
    await red.reach((await here.vm.run("ip -4 -o addr show dev eth0 | awk '{print $4}'")).trim().split('/')[0]!);
  });
});
