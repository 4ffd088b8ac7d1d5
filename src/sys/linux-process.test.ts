import assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { ERRNO } from './errno.ts';
import { LinuxSys, SI_KERNEL, SIGNAL_RECORD_BYTES } from './linux.ts';
import { POLL, POLL_OPERATION, SOCKET_FAMILY, SOCKET_TYPE } from './sys.ts';

const SIGINT = 2;
const SIGKILL = 9;
const SIGUSR2 = 12;
const SIGTERM = 15;
const SIGRTMIN = 34;

const sys = new LinuxSys();
const record: Int32Array = new Int32Array(3);
const recordMemory: number = sys.register(record);

/** What every script below begins with. */
const PREAMBLE = `
  const { LinuxSys } = await import(${JSON.stringify(new URL('./linux.js', import.meta.url).href)});
  const sys = new LinuxSys();
  const readableTimer = () => { const fd = sys.timerCreate(); sys.timerSet(fd, 1); return fd; };
  const record = new Int32Array(3), memory = sys.register(record);
`;

function runScript(script: string): SpawnSyncReturns<string> {
  const options = ['--input-type=module', '-e', PREAMBLE + script];
  return spawnSync(process.execPath, options, { encoding: 'utf8', timeout: 60_000 });
}

async function until(condition: () => boolean): Promise<void> {
  const deadlineUs = sys.nowUs() + 60_000_000;
  while (!condition()) {
    assert.ok(sys.nowUs() < deadlineUs, 'waited for a minute');
    await nextTurn();
  }
}

describe('watches', () => {
  it('call back while the descriptor is readable, with promises run in between, until unwatched', async () => {
    const timer = sys.timerCreate();
    const poll = sys.pollCreate();
    assert.equal(sys.pollControl(poll, POLL_OPERATION.ADD, timer, POLL.IN, 0), 0);
    const log: string[] = [];
    const handle = sys.watchReadable(poll, () => {
      log.push('call');
      Promise.resolve().then(() => log.push('promise'));
      if (log.length >= 4) sys.unwatch(handle);
    });
    assert.ok(handle > 0);
    await nextTurn();
    await nextTurn();
    assert.deepEqual(log, []);
    sys.timerSet(timer, 1);
    await until(() => log.length >= 6);
    await nextTurn();
    await nextTurn();
    assert.deepEqual(log, ['call', 'promise', 'call', 'promise', 'call', 'promise']);
    assert.throws(() => sys.unwatch(handle), RangeError);
    sys.close(poll);
    sys.close(timer);
  });

  it('refuse what can not be watched', () => {
    assert.equal(
      sys.watchReadable(-1, () => {}),
      -ERRNO.EBADF,
    );
    assert.throws(() => sys.watchReadable(0, 1 as unknown as () => void), TypeError);
    assert.throws(() => sys.unwatch(0), RangeError);
    assert.throws(() => sys.watchReference(12_345, true), RangeError);
  });

  it('keep the event loop alive only when told to', () => {
    const script = (keeps: boolean): string => `
      const handle = sys.watchReadable(sys.pollCreate(), () => {});
      sys.watchReference(handle, ${keeps});
      setTimeout(() => { process.stdout.write('alive'); sys.unwatch(handle); }, 20).unref();
    `;
    assert.equal(runScript(script(true)).stdout, 'alive');
    assert.equal(runScript(script(false)).stdout, '');
    assert.equal(runScript(script(false)).status, 0);
  });

  it('hand what their callback throws to the process', () => {
    const child = runScript(`
      const handle = sys.watchReadable(readableTimer(), () => { sys.unwatch(handle); throw new Error('from the callback'); });
      process.on('uncaughtException', (error) => process.stdout.write(error.message));
    `);
    assert.equal(child.stdout, 'from the callback');
    assert.equal(child.status, 0);
  });

  it('end with the worker that made them', async () => {
    const script = `
      (async () => {${PREAMBLE}
        for (let i = 0; i < 3; i++) sys.watchReadable(sys.pollCreate(), () => {});
        let ticks = 0;
        sys.watchReadable(readableTimer(), () => { if (++ticks === 3) require('node:worker_threads').parentPort.postMessage('ticks'); });
      })();`;
    for (let i = 0; i < 3; i++) {
      const worker = new Worker(script, { eval: true });
      await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
      await worker.terminate();
    }
  });
});

describe('signals', () => {
  const sender = (): number => sys.read(sys.signalDescriptor([]), recordMemory, 0, SIGNAL_RECORD_BYTES);

  it('are read with their number and their sender', async () => {
    const fd = sys.signalDescriptor([SIGUSR2]);
    assert.ok(fd >= 0);
    assert.equal(sender(), -ERRNO.EAGAIN);
    assert.equal(sys.raise(SIGUSR2), 0);
    await until(() => sender() === SIGNAL_RECORD_BYTES);
    assert.deepEqual([...record], [SIGUSR2, 0, process.pid]);

    const other = spawnSync('sh', ['-c', `kill -USR2 ${process.pid}; echo $$`], { encoding: 'utf8' });
    await until(() => sender() === SIGNAL_RECORD_BYTES);
    assert.deepEqual([...record], [SIGUSR2, 0, Number(other.stdout)]);

    assert.equal(sys.signalDescriptor([SIGUSR2]), fd, 'always the same descriptor');
    assert.equal(sys.signalRestore(), 0);
  });

  it('do again what they did before, once restored', () => {
    const child = runScript(`
      const fd = sys.signalDescriptor([${SIGTERM}]);
      sys.raise(${SIGTERM});
      while (sys.read(fd, memory, 0, 12) !== 12);
      process.stdout.write('caught ' + record[0]);
      sys.signalRestore();
      sys.raise(${SIGTERM});
      setTimeout(() => {}, 5000);
    `);
    assert.equal(child.stdout, `caught ${SIGTERM}`);
    assert.equal(child.signal, 'SIGTERM');
  });

  it('that can not be caught are refused, and those beside them left alone', () => {
    sys.signalDescriptor([SIGUSR2]);
    for (const signal of [0, -1, 65, SIGKILL]) {
      assert.equal(sys.signalDescriptor([SIGRTMIN, SIGUSR2, signal]), -ERRNO.EINVAL);
    }
    const caught = spawnSync('grep', ['SigCgt', `/proc/${process.pid}/status`], { encoding: 'utf8' }).stdout;
    const mask = BigInt(`0x${caught.trim().split('\t')[1]}`);
    const isCaught = (signal: number): boolean => ((mask >> BigInt(signal - 1)) & 1n) === 1n;
    assert.deepEqual([isCaught(SIGUSR2), isCaught(SIGRTMIN)], [true, false]);
    sys.signalRestore();
    assert.throws(() => sys.signalDescriptor(1 as unknown as number[]), TypeError);
    assert.throws(() => sys.signalDescriptor(['x' as unknown as number]), TypeError);
    assert.equal(sys.raise(1234), -ERRNO.EINVAL);
  });
});

describe('terminals', () => {
  it('are told from other descriptors', () => {
    const socket = sys.socket(SOCKET_FAMILY.INET, SOCKET_TYPE.DGRAM, 0);
    assert.equal(sys.terminalForeground(socket), -ERRNO.ENOTTY);
    assert.equal(sys.setTerminalForeground(socket, sys.processGroup()), -ERRNO.ENOTTY);
    sys.close(socket);
  });

  it('send Ctrl-C as a signal of the kernel, to a job that took the foreground', async (context) => {
    // The job starts in the background of its terminal and takes the foreground, which without care stops it (SIGTTOU).
    const script = `${PREAMBLE}
      const background = sys.terminalForeground(0) !== sys.processGroup();
      const taken = sys.setTerminalForeground(0, sys.processGroup());
      const foreground = sys.terminalForeground(0) === sys.processGroup();
      const fd = sys.signalDescriptor([${SIGINT}]);
      const watch = sys.watchReadable(fd, () => {
        sys.read(fd, memory, 0, 12);
        sys.unwatch(watch);
        console.log('signal ' + record[0] + ' code ' + record[1]);
      });
      console.log('ready ' + background + ' ' + taken + ' ' + foreground);
    `;
    const job = `set -m; "$NODE" --input-type=module -e "$SCRIPT" & wait $!`;
    const terminal = spawn('script', ['-qec', job, '/dev/null'], {
      env: { ...process.env, NODE: process.execPath, SCRIPT: script, SHELL: '/bin/sh' },
      timeout: 60_000,
    });
    const exited = new Promise<boolean>((resolve) => {
      terminal.once('exit', () => resolve(true)).once('error', () => resolve(false));
    });
    let output = '';
    terminal.stdout.on('data', (chunk: Buffer) => {
      if (!output.includes('ready') && String(chunk).includes('ready')) terminal.stdin.write('\x03');
      output += String(chunk);
    });
    terminal.stdin.on('error', () => {});
    if (!(await exited)) {
      context.skip('script(1) is not installed');
      return;
    }
    assert.match(output, /ready true 0 true/);
    assert.match(output, new RegExp(`signal ${SIGINT} code ${SI_KERNEL}`));
  });
});
