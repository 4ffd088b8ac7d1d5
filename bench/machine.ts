/** What was measured on: enough to judge ratios by, nothing that names the machine. */
import { cpus, loadavg, release, totalmem } from 'node:os';
import type { Machine } from './result.ts';

export function describeMachine(programs: readonly string[], missing: readonly string[]): Machine {
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    processors: cpus().length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    kernel: /^\d+(\.\d+)*/.exec(release())?.[0] ?? 'unknown',
    node: process.version,
    load: loadavg()[0]!,
    programs,
    missing,
    ordinaryUser: process.getuid?.() !== 0,
  };
}
