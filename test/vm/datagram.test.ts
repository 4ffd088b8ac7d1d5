/**
 * `tapster guest --dgram` with a real machine in QEMU: frames as datagrams, and what happens when either side goes and comes back, which needs nothing but to be there again. As an
 * ordinary user and as root, who looks at files as "nobody" when he is confined.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { PLACES, whyNoInternet } from '../support/netns/internet.ts';
import { Lab } from '../support/netns/lab.ts';
import { patternHash } from '../support/netns/pattern.ts';
import { endAll, eventually, Program } from '../support/netns/process.ts';
import { environmentOf } from '../support/netns/user.ts';
import { type Image, Machine, qemuWords, readableImage, vmImage } from './machine.ts';

const why = whyNoInternet();
const image = why === undefined ? vmImage() : why;
const skip = typeof image === 'string' ? image : false;
const ENDLESS = { timeoutMs: 0 } as const;
const BODY_BYTES = 4_000_000;
const SLOW_BYTES = 20_000_000;
/** Some ticks of the clock that processes' time is counted by. */
const IDLE_MS = 100;

const LEASE = new RegExp(`^lease ${PLACES.host[4]}/24`, 'm');

/** Tapster with a socket for datagrams, and machines beside it as the same user, who has to write to both paths. */
class Scene {
  readonly lab: Lab;
  path: string = '';
  program!: Program;
  vm!: Machine;
  #image!: Image;

  constructor(lab: Lab) {
    this.lab = lab;
  }

  async up(): Promise<void> {
    await this.lab.up();
    this.#image = readableImage(image as Image);
    this.path = this.lab.newPath('vm.sock');
  }

  async down(): Promise<void> {
    await endAll();
    await this.lab.down();
  }

  /** The words that start QEMU, with a device where they are given. */
  qemu(words: readonly string[] = []): string[] {
    return [...qemuWords(this.#image), ...words];
  }

  async serve(...options: readonly string[]): Promise<readonly string[]> {
    this.program = this.lab.start(['guest', '--dgram', '--socket', this.path, '-v', ...options], ENDLESS);
    const [, line] = await this.program.says(/ (-netdev dgram,.*)$/m);
    return line!.split(' ');
  }

  async boot(words: readonly string[]): Promise<void> {
    const { lab } = this;
    const program = [...lab.asUserOnHost(), ...this.qemu(words)];
    this.vm = new Machine(new Program(program, { ...ENDLESS, keepInput: true, env: environmentOf(lab.user) }));
    await this.vm.booted();
    assert.match(await this.vm.run('/up'), LEASE);
  }

  async killTapster(): Promise<void> {
    this.program.kill('SIGKILL');
    await this.program.ended;
    await eventually('the path of one that was killed goes', () => !existsSync(this.path));
  }

  async ping(): Promise<void> {
    assert.match(await this.vm.run(`ping -c 2 ${PLACES.server[4]}`), /2 packets received/);
  }

  /** Lines that say that a machine was plugged in. */
  get plugged(): number {
    return this.program.stderr.split('vm.sock.qemu is plugged in').length - 1;
  }
}

describe('a virtual machine behind datagrams', { skip }, () => {
  const scene = new Scene(new Lab('user', {}));
  let words: readonly string[];
  before(async () => {
    await scene.up();
    words = await scene.serve();
    await scene.boot(words);
  });
  after(() => scene.down());

  for (const mtu of [65_520, 1500]) {
    it(`receives and sends all bytes at an MTU of ${mtu}`, async () => {
      const { vm } = scene;
      await vm.run(`ip link set eth0 mtu ${mtu}`);
      const { 4: server } = PLACES.server;
      const received = await vm.run(`echo ${BODY_BYTES} | nc ${server} 19 | sha256sum`);
      assert.equal(received.split(' ')[0], patternHash(BODY_BYTES));
      await vm.run(`dd if=/dev/urandom of=/body bs=1000 count=${BODY_BYTES / 1000} 2>/dev/null`);
      const sum = (await vm.run('sha256sum /body')).split(' ')[0];
      const told = await vm.run(`(echo '{}'; cat /body) | nc ${server} 9`);
      assert.deepEqual(JSON.parse(told), { service: 'reader', bytes: BODY_BYTES, sha256: sum });
    });
  }

  it('loses nothing while QEMU takes nothing, and Tapster waits', async () => {
    const { vm, program } = scene;
    const hash = vm.run(
      `(echo ${SLOW_BYTES} | nc ${PLACES.server[4]} 19 | (dd bs=1 count=1; echo @begun >&2; cat) | sha256sum) 2>&1`,
    );
    await vm.program.says(/@begun/);
    vm.program.kill('SIGSTOP');
    await eventually('Tapster has nothing to do', idleFor(IDLE_MS, program.pid));
    vm.program.kill('SIGCONT');
    assert.match(await hash, new RegExp(patternHash(SLOW_BYTES)));
  });

  it('goes on when Tapster is killed and started again', async () => {
    await scene.killTapster();
    await scene.serve();
    await scene.program.says(/vm\.sock\.qemu is plugged in/);
    await scene.ping();
  });

  it('is killed, and another takes its place', async () => {
    scene.vm.program.kill('SIGKILL');
    await scene.program.says(/the guest has gone/);
    await scene.boot(words);
    assert.equal(scene.plugged, 2);
    await scene.ping();
  });

  it('leaves nothing behind', async () => {
    await scene.vm.powerOff();
    scene.program.kill('SIGTERM');
    assert.equal((await scene.program.ended).status, 143);
    assert.ok(!existsSync(scene.path) && !existsSync(`${scene.path}.qemu`));
  });

  it('is started by Tapster, without a sandbox, which ends with it and as it does', async () => {
    const tapster = ['guest', '--dgram', '--no-sandbox', '--socket', scene.path];
    // What Tapster adds stands behind all words.
    const command = ['sh', '-c', '"$@"; exit 7', 'sh', ...scene.qemu()];
    const vm = new Machine(scene.lab.start([...tapster, '--', ...command], { ...ENDLESS, keepInput: true }));
    await vm.booted();
    assert.match(await vm.run('/up'), LEASE);
    vm.begin('poweroff -f');
    assert.equal((await vm.program.ended).status, 7);
    assert.ok(!existsSync(scene.path) && !existsSync(`${scene.path}.qemu`));
  });
});

describe('a virtual machine of root behind datagrams', { skip }, () => {
  const scene = new Scene(new Lab('root', {}));
  before(() => scene.up());
  after(() => scene.down());

  it('is found at its path by who looks at files as "nobody", whenever it comes', async () => {
    const words = await scene.serve();
    await scene.boot(words);
    await scene.killTapster();
    await scene.serve('--one-off');
    await scene.program.says(/vm\.sock\.qemu is plugged in/);
    await scene.ping();
    await scene.vm.powerOff();
    assert.equal((await scene.program.ended).status, 0);
  });
});

/** Says whether a process has had no time of a processor since so long. */
function idleFor(ms: number, pid: number): () => boolean {
  let ticks = -1;
  let sinceMs = 0;
  return () => {
    const nowMs = performance.now();
    const now = processorTicks(pid);
    if (now !== ticks) sinceMs = nowMs;
    ticks = now;
    return nowMs - sinceMs >= ms;
  };
}

/** Time that a process has had, in ticks of the kernel's clock (proc_pid_stat(5), utime and stime). */
function processorTicks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return Number(fields[11]) + Number(fields[12]);
}
