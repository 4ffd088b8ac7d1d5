/**
 * `tapster guest` with a real machine in QEMU: what it is given and reaches, and what happens when one of the two goes and comes back. As an ordinary user, in the small
 * internet of `test/support/netns`.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { PLACES, whyNoInternet } from '../support/netns/internet.ts';
import { Lab } from '../support/netns/lab.ts';
import { patternHash } from '../support/netns/pattern.ts';
import { endAll, eventually, Program } from '../support/netns/process.ts';
import { CHECKOUT } from '../support/netns/user.ts';
import { ADVERTISED, type Image, Machine, qemuWords, vmImage } from './machine.ts';

const why = whyNoInternet();
const image = why === undefined ? vmImage() : why;
const skip = typeof image === 'string' ? image : false;
const ENDLESS = { timeoutMs: 0 } as const;
const BODY_BYTES = 4_000_000;
/** More than all buffers on the way hold. */
const SLOW_BYTES = 17_000_000;

/** Tapster, listening at a path. */
interface Served {
  readonly program: Program;
  readonly path: string;
  /** What it printed for QEMU. */
  readonly words: readonly string[];
}

describe('a virtual machine behind tapster guest', { skip }, () => {
  const lab = new Lab('user', {});
  before(() => lab.up());
  after(() => lab.down());

  const serve = async (path: string, ...options: string[]): Promise<Served> => {
    const program = lab.start(['guest', '--socket', path, ...options], ENDLESS);
    const [, line] = await program.says(/ (-netdev .*)$/m);
    return { program, path, words: line!.split(' ') };
  };
  const machine = (words: readonly string[]): Machine =>
    new Machine(lab.onHost([...qemuWords(image as Image), ...words], { ...ENDLESS, keepInput: true }));
  const flows = (served: Served): string => served.program.stderr;
  const end = async ({ program, path }: Served): Promise<void> => {
    program.kill('SIGTERM');
    assert.equal((await program.ended).status, 143);
    assert.ok(!existsSync(path), 'the socket is still there');
  };

  describe('that is served', () => {
    let served: Served;
    let vm: Machine;
    before(async () => {
      served = await serve(lab.newPath('vm.sock'), '-v', '-p', '8081:80', '-p', '8082:8082');
      vm = machine(served.words);
      await vm.booted();
    });
    after(endAll);

    it('has its addresses, routes and resolvers from DHCP and router advertisements', async () => {
      const lease = await vm.run('/up');
      assert.match(lease, new RegExp(`^lease ${PLACES.host[4]}/24 ${PLACES.gateway[4]} mtu=65520 dns=`, 'm'));
      await vm.run(ADVERTISED);
      assert.match(await vm.run('ip -6 addr show dev eth0'), /inet6 fd99::[^ ]+\/64 scope global/);
      assert.match(await vm.run('ip -6 route'), /default via fe80::/);
    });

    it('reaches the internet by echo, and by name', async () => {
      for (const place of [PLACES.server[4], PLACES.server[6]]) {
        assert.match(await vm.run(`ping -c 2 ${place}`), /2 packets received/);
      }
      assert.match(await vm.run('wget -q -O - http://www.example.test/'), /hello from the internet/);
    });

    // At 1500: see clients.test.ts.
    it('receives and sends all bytes at the largest MTU', async () => {
      const { 4: server, 6: server6 } = PLACES.server;
      for (const address of [server, server6]) {
        const received = await vm.run(`echo ${BODY_BYTES} | nc ${address} 19 | sha256sum`);
        assert.equal(received.split(' ')[0], patternHash(BODY_BYTES));
      }
      await vm.run(`dd if=/dev/urandom of=/body bs=1000 count=${BODY_BYTES / 1000} 2>/dev/null`);
      const sum = (await vm.run('sha256sum /body')).split(' ')[0];
      const told = await vm.run(`(echo '{}'; cat /body) | nc ${server} 9`);
      assert.deepEqual(JSON.parse(told), { service: 'reader', bytes: BODY_BYTES, sha256: sum });
    });

    it('is reached by a published port', async () => {
      await vm.run('mkdir -p /www; cp /body /www/; httpd -p 80 -h /www');
      const sum = (await vm.run('sha256sum /body')).split(' ')[0];
      const url = `http://${PLACES.host[4]}:8081/body`;
      const got = await lab.inNet(['sh', '-c', `curl -sf ${url} | sha256sum`]).ended;
      assert.equal(got.stdout.split(' ')[0], sum, got.stderr);
    });

    it('loses nothing that it is slow to read, and Tapster keeps little of it', async () => {
      vm.begin('(nc -l -p 8082 -e /bin/sh -c "sleep 3; sha256sum") </dev/null >/dev/null 2>&1 &');
      await vm.run('until netstat -ltn | grep -q :8082; do sleep 0.1; done');
      const body = '0123456789abcdef\n'.repeat(SLOW_BYTES / 17);
      const restingKib = residentKib(served.program.pid);
      const script = `const c = require('net').connect(8082, '${PLACES.host[4]}'); c.end('0123456789abcdef\\n'.repeat(${SLOW_BYTES / 17})); c.pipe(process.stdout)`;
      const caller = lab.inNet([process.execPath, '-e', script]);
      await vm.run('sleep 2');
      assert.ok(residentKib(served.program.pid) - restingKib < 20_000, 'memory grows with what waits');
      const { stdout } = await caller.ended;
      assert.equal(stdout.split(' ')[0], createHash('sha256').update(body).digest('hex'));
    });

    it('is the only one', async () => {
      const second = machine(served.words);
      await served.program.says(/pid \d+.* was sent away: there is a guest already/);
      second.program.kill('SIGKILL');
      assert.match(await vm.run(`ping -c 1 ${PLACES.server[4]}`), /1 packets received/);
    });

    it('boots again, and has the same addresses', async () => {
      vm.begin('reboot -f');
      await vm.booted();
      assert.match(await vm.run('/up'), new RegExp(`^lease ${PLACES.host[4]}/24`, 'm'));
      assert.match(await vm.run(`ping -c 1 ${PLACES.server[4]}`), /1 packets received/);
    });

    it('is killed, and another takes its place', async () => {
      vm.program.kill('SIGKILL');
      await served.program.says(/the guest has gone/);
      vm = machine(served.words);
      await vm.booted();
      assert.match(await vm.run('/up'), new RegExp(`^lease ${PLACES.host[4]}/24`, 'm'));
      assert.match(await vm.run('wget -q -O - http://www.example.test/'), /hello from the internet/);
      assert.match(flows(served), /www\.example\.test/);
    });

    it('leaves nothing behind', async () => {
      await vm.powerOff();
      await end(served);
    });
  });

  it('is started by Tapster, which ends with it and as it does', async () => {
    const tapster = [
      process.execPath,
      join(CHECKOUT, 'dist/cli/main.js'),
      'guest',
      '--socket',
      lab.newPath('own.sock'),
    ];
    // What Tapster adds stands behind all words.
    const words = [...tapster, '--', 'sh', '-c', '"$@"; exit 7', 'sh', ...qemuWords(image as Image)];
    const vm = new Machine(lab.onHost(words, { ...ENDLESS, keepInput: true }));
    await vm.booted();
    assert.match(await vm.run('/up'), /^lease /m);
    vm.begin('poweroff -f');
    assert.equal((await vm.program.ended).status, 7);
  });

  it('is the only one with --one-off', async () => {
    const served = await serve(lab.newPath('once.sock'), '--one-off', '-v');
    const guest = connect(served.path);
    await served.program.says(/is plugged in/);
    guest.destroy();
    assert.equal((await served.program.ended).status, 0);
    assert.ok(!existsSync(served.path));
  });

  it('is a connected socket that Tapster is given', async () => {
    const path = lab.newPath('given.sock');
    const words = [...lab.tapster('guest', '--fd', '3', '-v')];
    // A stream's connected end as descriptor 3: what a program that manages machines gives.
    const script = `
      const { createServer, connect } = require('net'); const { spawn } = require('child_process');
      const server = createServer((end) => {
        const child = spawn(process.argv[1], process.argv.slice(2), { stdio: ['ignore', 'inherit', 'pipe', end] });
        child.once('spawn', () => end.destroy());
        let said = '';
        child.stderr.on('data', (chunk) => {
          process.stderr.write(chunk);
          said += chunk;
          if (said.includes('is plugged in')) far.destroy();
        });
        child.once('close', (code) => process.exit(code));
      }).listen(${JSON.stringify(path)});
      const far = connect(${JSON.stringify(path)});`;
    const ended = await new Program([process.execPath, '-e', script, ...words]).ended;
    assert.equal(ended.status, 0, ended.stderr);
    assert.match(ended.stderr, /is plugged in\n.*the guest has gone/);
  });

  it('listens, and Tapster connects', async () => {
    const path = lab.newPath('qemu.sock');
    const vm = machine([
      ...['-netdev', `stream,id=tapster,server=on,addr.type=unix,addr.path=${path}`],
      ...['-device', 'virtio-net-pci,netdev=tapster'],
    ]);
    // It listens before: its path is there a moment earlier than that.
    await vm.booted();
    chmodSync(path, 0o666);
    const tapster = lab.start(['guest', '--connect', path, '-v'], ENDLESS);
    await tapster.says(/is plugged in/);
    await vm.run('/up');
    assert.match(await vm.run(`ping -c 1 ${PLACES.server[4]}`), /1 packets received/);
    await vm.powerOff();
    assert.equal((await tapster.ended).status, 0);
    const none = await lab.start(['guest', '--connect', path]).ended;
    assert.equal(none.status, 125);
    assert.match(none.stderr, /nobody listens at/);
  });

  it('goes on when Tapster is killed and started again', { skip: lacksReconnect() }, async () => {
    const path = lab.newPath('again.sock');
    const first = await serve(path);
    const vm = machine(first.words.map((word) => word.replace('server=off', 'server=off,reconnect=1')));
    await vm.booted();
    await vm.run('/up');
    first.program.kill('SIGKILL');
    await first.program.ended;
    await eventually('the path of one that was killed goes', () => !existsSync(path));
    const second = await serve(path, '-v');
    await second.program.says(/is plugged in/);
    assert.match(await vm.run(`ping -c 2 ${PLACES.server[4]}`), /packets received/);
    await vm.powerOff();
    await end(second);
  });

  it('finds a path that was left behind, and none that is in use', async () => {
    const path = lab.newPath('stale.sock');
    const first = await serve(path);
    const second = await lab.start(['guest', '--socket', path]).ended;
    assert.equal(second.status, 125);
    assert.match(second.stderr, /somebody listens at .* already/);
    first.program.kill('SIGKILL');
    await first.program.ended;
    await eventually('the path of one that was killed goes', () => !existsSync(path));
    await end(await serve(path));
  });
});

function residentKib(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
}

/** Since QEMU 8.0 a stream that broke is connected anew. */
function lacksReconnect(): string | false {
  const { stdout = '' } = spawnSync('qemu-system-x86_64', ['--version'], { encoding: 'utf8' });
  const version = /version (\d+)/.exec(stdout ?? '')?.[1];
  return Number(version) >= 8 ? false : `QEMU ${version} does not connect a stream anew: 8.0 does`;
}
