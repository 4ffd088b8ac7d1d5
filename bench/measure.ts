/**
 * The measuring half of the suite, on the stage: `measure.js [--quick] [--rounds N] [NAME...]`. Tells what it finds as
 * JSON lines (`Message`).
 */
import { spawnSync } from 'node:child_process';
import { writeSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { guestPrograms } from './guest.ts';
import { type Benchmark, runCase } from './harness.ts';
import { describeMachine } from './machine.ts';
import { findNetworks } from './networks.ts';
import { sweepAll } from './process.ts';
import type { Message } from './result.ts';

import { QUICK, type Settings, THOROUGH } from './settings.ts';
import { benchmarks, missingMeasurements } from './suite.ts';

const NEED_IPERF: readonly string[] = ['tcp-out', 'tcp-in', 'forward', 'memory'];

const { values: options, positionals: names } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean' }, rounds: { type: 'string' } },
});
const base = options.quick ? QUICK : THOROUGH;
const settings: Settings = { ...base, rounds: options.rounds === undefined ? base.rounds : Number(options.rounds) };

process.on('exit', sweepAll);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(1));

const found = await findNetworks();
const iperf = spawnSync('iperf3', ['--version'], { encoding: 'utf8' });
const hasIperf = iperf.status === 0;
const programs = [...(hasIperf ? [iperf.stdout.split(' (', 1)[0]!] : []), ...found.programs, ...guestPrograms()];
const missing = [
  ...(hasIperf ? [] : [`${NEED_IPERF.join(', ')}: iperf3 is not installed`]),
  ...found.missing,
  ...missingMeasurements(settings),
];
tell({ kind: 'machine', machine: describeMachine(programs, missing) });
for (const benchmark of benchmarks(names, found.networks, settings)) {
  if (hasIperf || !NEED_IPERF.includes(benchmark.name)) await run(benchmark);
}
process.exit(0);

async function run({ name, question, cases, finish }: Benchmark): Promise<void> {
  tell({ kind: 'question', benchmark: name, question });
  for (const asked of cases) {
    const result = await runCase(name, asked, settings.rounds, (text) => tell({ kind: 'progress', text }));
    tell({ kind: 'case', result });
  }
  await finish?.();
}

function tell(message: Message): void {
  writeSync(1, `${JSON.stringify(message)}\n`);
}
