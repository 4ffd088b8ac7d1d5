/**
 * `npm run sim -- --seeds N --from S`: runs N simulated worlds (see `test/sim/world.ts`) from seed S on, over all cores, and prints for each that failed what was wrong, and
 * the command that shows it again. `--seed K`: that one. `--jobs J`: so many processes. `--canary NAME`: with a bug on purpose, which must be found.
 */
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { root, setup } from './setup.mjs';

const USAGE = 'npm run sim -- [--seeds N] [--from S] [--seed K] [--jobs J] [--canary NAME]';
const { values } = readArguments();
const from = readCount('seed', values.seed ?? values.from);
const count = values.seed === undefined ? readCount('seeds', values.seeds) : 1;
const jobs = Math.min(count, readCount('jobs', values.jobs ?? String(availableParallelism())));

setup('all');
const startedAt = performance.now();
const failed = [];
const totals = { worlds: 0, turns: 0 };
const statuses = await Promise.all(Array.from({ length: jobs }, (_, job) => runJob(job)));
summarize();

/** One seed of each `jobs`, so that all processes have as much to do. */
async function runJob(job) {
  const words = [join(root, 'dist', 'test', 'sim', 'main.js'), from + job, from + count, jobs].map(String);
  if (values.canary !== undefined) words.push('--canary', values.canary);
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const line of createInterface({ input: child.stdout })) take(JSON.parse(line));
  return child.exitCode ?? (await new Promise((resolve) => child.once('close', resolve)));
}

function take(line) {
  if (line.seed === undefined) {
    totals.worlds += line.worlds;
    totals.turns += line.turns;
    return;
  }
  failed.push(line.seed);
  console.log(`seed ${line.seed}:`);
  for (const problem of line.problems) console.log(`  ${problem}`);
  if (values.seed !== undefined) console.log(`  the world: ${JSON.stringify(line.plan)}`);
  console.log(`  again: npm run sim -- --seed ${line.seed}${values.canary ? ` --canary ${values.canary}` : ''}`);
}

function summarize() {
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(`${totals.worlds} worlds, ${totals.turns} turns, ${failed.length} failed, ${seconds} s`);
  const isCut = totals.worlds !== count || statuses.some((status) => status !== 0);
  if (isCut) console.error('npm run sim: a process ended early');
  process.exit(isCut || failed.length > 0 ? 1 : 0);
}

function readArguments() {
  const text = { type: 'string' };
  const options = {
    seeds: { ...text, default: '200' },
    from: { ...text, default: '1' },
    seed: text,
    jobs: text,
    canary: text,
  };
  try {
    return parseArgs({ options });
  } catch (error) {
    return stop(error.message);
  }
}

function readCount(name, value) {
  if (!/^[1-9]\d{0,8}$/.test(value)) stop(`--${name} is a count of 1 or more, not "${value}"`);
  return Number(value);
}

function stop(message) {
  console.error(`npm run sim: ${message}\nusage: ${USAGE}`);
  process.exit(2);
}
