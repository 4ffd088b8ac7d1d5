/** `without.js CALLS PROGRAM WORDS`: runs a program for which the kernel lacks some system calls, their names separated by commas. For root. */
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { assembleFilter } from '#tapster/sys/seccomp.js';
import { systemCalls } from '#tapster/sys/system-calls.js';

const ENOSYS = 38;
const ADDON = fileURLToPath(new URL('../../../../native/build/Release/tapster.node', import.meta.url));

const [calls = '', program = '', ...words] = process.argv.slice(2);
const lacking = calls.split(',');
const table = systemCalls()!;
const filter = assembleFilter(
  {
    allowed: [...table.numbers.keys()].filter((name) => !lacking.includes(name)),
    refused: [{ errno: ENOSYS, calls: lacking }],
    conditional: [],
  },
  table,
);
const { seccompInstall } = createRequire(import.meta.url)(ADDON) as { seccompInstall(filter: Int32Array): number };
const installed = seccompInstall(filter);
if (installed < 0) throw new Error(`no filter: ${installed}`);
const { status, signal } = spawnSync(program, words, { stdio: 'inherit' });
process.exit(status ?? 128 + constants.signals[signal!]);
