/**
 * `npm test`: sets up what is missing, then lint, types (they are the build), import arrows (`test/architecture.test.ts`), unit tests, and the tests on the
 * real kernel in `test/netns`, `test/network`, `test/faults`, `test/library`, `test/soak`, `test/guest`, `test/vm`, `test/splice` and `test/dropin`. `npm test -- tcp dns` runs only the test files whose path contains one
 * of the words.
 *
 * In the end it lists every test that was skipped, with its reason, and writes `dist/test-report.json`. With TAPSTER_REQUIRE_KERNEL_TESTS=1 it fails when
 * a file of real-kernel tests ran nothing: a machine that lacks a privilege must not look like one on which all is well.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative, sep } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { root, setup } from './setup.mjs';

const KERNEL_FOLDERS = ['netns', 'network', 'faults', 'library', 'soak', 'guest', 'vm', 'splice', 'dropin'].map(
  (name) => join(root, 'test', name) + sep,
);
const INSIDE_GUEST = join(root, 'test', 'guest', 'inside');
/** A test file that takes longer hangs, on a slow machine too. */
const UNIT_TIMEOUT_MS = 600_000;
const KERNEL_TIMEOUT_MS = 900_000;

const filters = process.argv.slice(2);
const report = { passed: 0, failed: 0, skipped: [], failures: [], kernelFilesWithoutRun: [] };

setup('all');
const lintProblem = filters.length === 0 ? lint() : undefined;
const sources = [...testSources(join(root, 'src')), ...testSources(join(root, 'test'))].filter(wanted).sort();
if (sources.length === 0) finish(`no test file's path contains ${filters.join(' or ')}`);
const kernelSources = sources.filter(isKernelTest);
const unitSources = sources.filter((path) => !isKernelTest(path));
await runTests(unitSources, availableParallelism(), UNIT_TIMEOUT_MS);
// Real programs, real timers, and throughput: beside each other they would need more cores than a small machine has.
const ran = await runTests(kernelSources, Math.max(1, Math.floor(availableParallelism() / 4)), KERNEL_TIMEOUT_MS);
report.kernelFilesWithoutRun = kernelSources.filter((path) => !ran.has(path)).map((path) => relative(root, path));
summarize();

function lint() {
  const biome = join(root, 'node_modules', '@biomejs', 'biome', 'bin', 'biome');
  const result = spawnSync(process.execPath, [biome, 'check', '--diagnostic-level=warn', root], {
    cwd: root,
    stdio: 'inherit',
  });
  return result.status === 0
    ? undefined
    : 'lint: biome found something (see above); "npm run format" repairs most of it';
}

/** Files named `...-fixture.test.ts` are what tests share, and no tests. Those of `test/guest/inside` run in the guest that `test/guest` boots. */
function* testSources(folder) {
  if (!existsSync(folder)) return;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (path === INSIDE_GUEST) continue;
    if (entry.isDirectory()) yield* testSources(path);
    else if (/(?<!-fixtures?)\.test\.ts$/.test(entry.name)) yield path;
  }
}

function wanted(path) {
  return filters.length === 0 || filters.some((word) => relative(root, path).includes(word));
}

function isKernelTest(path) {
  return KERNEL_FOLDERS.some((folder) => path.startsWith(folder));
}

/** Where tsc writes a source: src/X.ts to dist/X.js, test/X.ts to dist/test/X.js. */
function compiled(path) {
  const inside = relative(root, path)
    .replace(/^src\//, '')
    .replace(/\.ts$/, '.js');
  return join(root, 'dist', inside);
}

/** Runs test files and returns those in which at least one test ran. */
async function runTests(paths, concurrency, timeout) {
  const ran = new Set();
  if (paths.length === 0) return ran;
  const sourceOf = new Map(paths.map((path) => [compiled(path), path]));
  const stream = run({ files: [...sourceOf.keys()], concurrency, timeout });
  stream.on('test:pass', (event) => {
    if (event.skip !== undefined || event.todo !== undefined) noteSkipped(event, sourceOf);
    else if (event.details.type !== 'suite') {
      report.passed++;
      ran.add(sourceOf.get(event.file));
    }
  });
  stream.on('test:fail', (event) => {
    report.failures.push(`${nameOfFile(event, sourceOf)}: ${event.name}`);
    if (event.details.type !== 'suite') report.failed++;
    ran.add(sourceOf.get(event.file));
  });
  stream.compose(new spec()).pipe(process.stdout, { end: false });
  await new Promise((resolve) => stream.once('end', resolve));
  // The reporter's own summary passes through one more stream.
  await new Promise((resolve) => setTimeout(resolve, 50));
  return ran;
}

function noteSkipped(event, sourceOf) {
  const reason = [event.skip, event.todo].find((value) => typeof value === 'string' && value !== '');
  report.skipped.push({ file: nameOfFile(event, sourceOf), name: event.name, reason: reason ?? 'no reason given' });
}

function nameOfFile(event, sourceOf) {
  return relative(root, sourceOf.get(event.file) ?? event.file ?? event.name);
}

function summarize() {
  const { passed, failed, skipped, failures, kernelFilesWithoutRun } = report;
  console.log(`\n${passed} passed, ${failed} failed, ${skipped.length} skipped`);
  for (const { file, name, reason } of skipped) console.log(`  skipped: ${file}: ${name}: ${reason}`);
  for (const failure of failures) console.log(`  FAILED: ${failure}`);
  const required = process.env.TAPSTER_REQUIRE_KERNEL_TESTS === '1' && filters.length === 0;
  if (failures.length > 0) finish('tests failed');
  if (required && kernelSources.length === 0) finish('there are no real-kernel tests in test/netns');
  if (required && kernelFilesWithoutRun.length > 0) {
    finish(`real-kernel tests were skipped: ${kernelFilesWithoutRun.join(', ')}`);
  }
  finish(lintProblem);
}

function finish(problem) {
  writeFileSync(join(root, 'dist', 'test-report.json'), `${JSON.stringify({ ...report, problem }, null, 2)}\n`);
  if (problem !== undefined) console.error(`npm test: ${problem}`);
  process.exit(problem === undefined ? 0 : 1);
}
