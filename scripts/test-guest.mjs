/**
 * `npm run test:guest`: everything with machines in QEMU. Boots a guest with Debian's kernel, which has what this machine's kernel may lack, and runs `test/guest/inside/*.test.ts` in there;
 * then the tests of `tapster guest` (`test/vm`), with much larger bodies than `npm test` has, unless `--inside` says that these are run elsewhere.
 *
 * The guest is emulated (TCG): a stock kernel hangs under the KVM of some machines, and all of it takes some minutes. What the guest prints on its serial console is
 * shown; the exit status is that of the tests inside, or 77 when no guest can be booted here (unless TAPSTER_REQUIRE_KERNEL_TESTS=1). `--keep` leaves the initramfs,
 * `--verbose` shows what the kernel says; files of tests that are named (dist/test/guest/inside/network.test.js) are run instead of all.
 */
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { buildGuest, Unavailable } from './guest-image.mjs';
import { root, setup } from './setup.mjs';

const SKIPPED = 77;
/** Below what `npm test` gives to a file of tests, so that it is said what took so long. */
const TOTAL_TIMEOUT_MS = 870_000;
/** A guest that prints nothing for so long hangs: a file of tests speaks when it has ended, and may take minutes on one processor that others use. */
const SILENCE_TIMEOUT_MS = 300_000;
const MEMORY = '1536M';
/** Of what machines behind Tapster receive and send. */
const BODY_BYTES = 100_000_000;

const verbose = process.argv.includes('--verbose');
const tests = process.argv.slice(2).filter((word) => !word.startsWith('--'));
if (!process.argv.includes('--no-setup')) setup('all');
process.exitCode = await main();
if (process.exitCode === 0 && tests.length === 0 && !process.argv.includes('--inside')) {
  const all = join(root, 'scripts', 'test.mjs');
  const env = { ...process.env, TAPSTER_BODY_BYTES: String(BODY_BYTES) };
  process.exitCode = spawnSync(process.execPath, [all, join('test', 'vm')], { env, stdio: 'inherit' }).status ?? 1;
}

async function main() {
  let guest;
  try {
    guest = buildGuest();
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    console.error(`test:guest: no guest can be booted here: ${error.message}`);
    return process.env.TAPSTER_REQUIRE_KERNEL_TESTS === '1' ? 1 : SKIPPED;
  }
  const startedMs = Date.now();
  try {
    const { status, problem } = await boot(guest, tests);
    console.log(`test:guest: ${problem ?? `the tests inside ended with ${status}`} (${seconds(startedMs)} s)`);
    return problem === undefined ? status : 1;
  } finally {
    if (!process.argv.includes('--keep')) guest.remove();
  }
}

/** Runs the guest to its end: the exit status of the tests, and what was wrong when there is none. */
function boot({ kernel, initramfs }, tests) {
  const says = verbose ? 'earlyprintk=ttyS0 ignore_loglevel' : 'quiet loglevel=3';
  const qemu = spawn(
    'qemu-system-x86_64',
    [
      ...['-machine', 'q35', '-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', MEMORY],
      ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
      ...['-chardev', 'stdio,id=console,signal=off', '-serial', 'chardev:console'],
      ...[
        '-kernel',
        kernel,
        '-initrd',
        initramfs,
        '-append',
        `console=ttyS0 panic=-1 ${says} tests=${tests.join(',')}`,
      ],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  return new Promise((resolve) => {
    const seen = { up: false, status: undefined, problem: undefined, complaint: '' };
    const giveUp = (problem) => {
      seen.problem = problem;
      qemu.kill('SIGKILL');
    };
    const total = setTimeout(
      () => giveUp(`the guest was not done after ${TOTAL_TIMEOUT_MS / 1000} s`),
      TOTAL_TIMEOUT_MS,
    );
    let silence;
    const listen = () => {
      clearTimeout(silence);
      const where = seen.up ? 'while the tests ran' : 'before it was up';
      silence = setTimeout(
        () => giveUp(`the guest hangs: silent for ${SILENCE_TIMEOUT_MS / 1000} s ${where}`),
        SILENCE_TIMEOUT_MS,
      );
    };
    listen();
    onLines(qemu.stdout, (line) => {
      listen();
      if (line === '@guest-up') seen.up = true;
      else if (line.startsWith('@guest-exit ')) seen.status = Number(line.slice('@guest-exit '.length));
      else console.log(line);
    });
    qemu.stderr.on('data', (chunk) => {
      seen.complaint += chunk;
    });
    qemu.on('error', (error) => giveUp(`QEMU can not be started: ${error.message}`));
    qemu.on('close', (code) => {
      clearTimeout(total);
      clearTimeout(silence);
      const ended = seen.up ? 'before the tests were done' : 'before it was up';
      if (seen.status === undefined)
        seen.problem ??= `the guest ended ${ended} (QEMU: ${code} ${seen.complaint.trim()})`;
      resolve(seen);
    });
  });
}

/** Calls back with each line, without what ends it. */
function onLines(stream, onLine) {
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', (chunk) => {
    const lines = (rest + chunk).split(/\r*\n/);
    rest = lines.pop();
    for (const line of lines) onLine(line);
  });
}

function seconds(sinceMs) {
  return ((Date.now() - sinceMs) / 1000).toFixed(1);
}
