/** What was measured on: enough to judge ratios by, nothing that names the machine. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
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
    revision: revision(),
    congestionControl: congestionControl(),
    missing,
    ordinaryUser: process.getuid?.() !== 0,
  };
}

function congestionControl(): string {
  try {
    return readFileSync('/proc/sys/net/ipv4/tcp_congestion_control', 'latin1').trim();
  } catch {
    return 'unknown';
  }
}

function revision(): string {
  const folder = fileURLToPath(new URL('.', import.meta.url));
  const safe = `safe.directory=*`;
  const asked = spawnSync('git', ['-c', safe, '-C', folder, 'rev-parse', '--short', 'HEAD'], { encoding: 'utf8' });
  return asked.status === 0 ? asked.stdout.trim() : '';
}
