/** The benchmark suite runs, with parameters that measure nothing: so that none of it can rot unseen. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const SUITE = fileURLToPath(new URL('../bench/main.js', import.meta.url));
const PAGE = fileURLToPath(new URL('../../docs/benchmarks.md', import.meta.url));
/** Of one of two runs; a file of unit tests is given 600 s. */
const TIMEOUT_MS = 400_000;

interface Candidate {
  readonly name: string;
  readonly values: readonly number[];
  readonly ratios: Readonly<Record<string, number>>;
  readonly failures: readonly string[];
}

interface Case {
  readonly benchmark: string;
  readonly name: string;
  readonly unit: string;
  readonly reference?: string;
  readonly candidates: readonly Candidate[];
}

interface Report {
  readonly cases: readonly Case[];
  readonly machine: { readonly missing: readonly string[] };
}

const BENCHMARKS: readonly string[] = [
  'tcp-out',
  'tcp-in',
  'tcp-rr',
  'udp-rr',
  'tcp-crr',
  'udp-out',
  'udp-in',
  'flows',
  'frames',
  'forward',
  'guest',
  'dropin',
  'path',
  'start',
  'memory',
];

describe('the benchmark suite', () => {
  it('measures us and what we are compared with in every benchmark', { skip: reasonToSkip() }, () => {
    const { status, stdout, stderr } = bench('--quick', '--json');
    const report = JSON.parse(stdout) as Report;
    assert.deepEqual([...new Set(report.cases.map(({ benchmark }) => benchmark))], BENCHMARKS);
    for (const { benchmark, name, unit, reference, candidates } of report.cases) {
      for (const wanted of reference === undefined ? ['tapster'] : [reference, 'tapster']) {
        const candidate = candidates.find((each) => each.name === wanted);
        const where = `${benchmark}, ${name}, ${wanted}`;
        assert.deepEqual(candidate?.failures, [], where);
        assert.equal(candidate?.values.length, 1, where);
        // So few packets warm nothing up: collections and deoptimizations are counted, but mean nothing yet.
        assert.ok(unit === 'times' || candidate.values[0]! > 0, where);
      }
    }
    assert.equal(status, 0, stderr);
  });

  it('finds the peers that are there', { skip: reasonToSkip() }, () => {
    const { stdout } = bench('tcp-rr', '--quick', '--json');
    const { cases, machine } = JSON.parse(stdout) as Report;
    const measured = cases[0]!.candidates.map(({ name }) => name);
    for (const peer of ['veth', 'pasta', 'slirp4netns']) {
      assert.ok(measured.includes(peer) || machine.missing.some((text) => text.startsWith(peer)), peer);
    }
  });

  it('refuses what it does not have', () => {
    for (const [words, message] of [
      [['tcp-sideways'], 'there is no benchmark "tcp-sideways"'],
      [['--rounds', '0'], '--rounds 0: use 1 to 99'],
      [['--quick', '--write'], '--write is for a whole run'],
    ] as const) {
      const { status, stderr } = bench(...words);
      assert.equal(status, 2);
      assert.match(stderr, new RegExp(message));
    }
  });

  it('wrote a page with every benchmark', () => {
    const page = readFileSync(PAGE, 'utf8');
    for (const name of BENCHMARKS) assert.match(page, new RegExp(`^## ${name}$`, 'm'));
  });
});

function bench(...words: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [SUITE, ...words], { encoding: 'utf8', timeout: TIMEOUT_MS });
}

function reasonToSkip(): string | false {
  if (spawnSync('iperf3', ['--version']).error !== undefined) return 'iperf3 is not installed';
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
  } catch (error) {
    return (error as Error).message;
  }
  const words = process.getuid!() === 0 ? ['--mount', '--net'] : ['--user', '--net'];
  const probe = spawnSync('unshare', [...words, 'true'], { encoding: 'utf8' });
  return probe.status === 0 ? false : `no namespaces here: ${probe.error?.message ?? probe.stderr.trim()}`;
}
