/**
 * The measuring half of the suite, on the stage: `measure.js [--quick] [--rounds N] [NAME...]`. Tells what it finds as
 * JSON lines (`Message`).
 */
import { spawnSync } from 'node:child_process';
import { writeSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { type Benchmark, runCase } from './harness.ts';
import { describeMachine } from './machine.ts';
import { NETWORKS, type Network } from './network.ts';
import { sweepAll } from './process.ts';
import type { Message } from './result.ts';
import { QUICK, type Settings, THOROUGH } from './settings.ts';
import { benchmarks } from './suite.ts';

const { values: options, positionals: names } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean' }, rounds: { type: 'string' } },
});
const base = options.quick ? QUICK : THOROUGH;
const settings: Settings = { ...base, rounds: options.rounds === undefined ? base.rounds : Number(options.rounds) };

process.on('exit', sweepAll);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(1));

const { networks, programs, missing } = look();
tell({ kind: 'machine', machine: describeMachine(programs, missing) });
for (const benchmark of benchmarks(networks, settings)) {
  if (names.length === 0 || names.includes(benchmark.name)) await run(benchmark);
}

async function run({ name, question, cases }: Benchmark): Promise<void> {
  tell({ kind: 'question', benchmark: name, question });
  for (const asked of cases) {
    const result = await runCase(name, asked, settings.rounds, (text) => tell({ kind: 'progress', text }));
    tell({ kind: 'case', result });
  }
}

/** Which networks there are. */
function look(): { networks: Network[]; programs: string[]; missing: string[] } {
  const networks: Network[] = [];
  const iperf = spawnSync('iperf3', ['--version'], { encoding: 'utf8' });
  const programs = iperf.status === 0 ? [iperf.stdout.split(' (', 1)[0]!] : [];
  const missing = iperf.status === 0 ? [] : ['iperf3: not installed'];
  for (const network of NETWORKS) {
    const version = network.version();
    if ('missing' in version) missing.push(`${network.name}: ${version.missing}`);
    else {
      networks.push(network);
      if (version.found !== '') programs.push(version.found);
    }
  }
  return { networks, programs, missing };
}

function tell(message: Message): void {
  writeSync(1, `${JSON.stringify(message)}\n`);
}
