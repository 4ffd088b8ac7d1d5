/**
 * What is measured and measured with, built before, by whoever may write the build's folder: the programs in `c/`, and the
 * `tapster` command as its users have it, in one piece.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCES: string = fileURLToPath(new URL('../../bench/c/', import.meta.url));
const PRODUCTS: string = fileURLToPath(new URL('./c/', import.meta.url));

const BUNDLE: string = fileURLToPath(new URL('../../scripts/bundle.mjs', import.meta.url));

/** What `cc` needs for each, options included. */
const PROGRAMS: Readonly<Record<string, readonly string[]>> = {
  'traffic-client': ['traffic-client.c', 'traffic.c', 'traffic.h'],
  // For a virtual machine that has no libraries.
  'traffic-client-static': ['-static', 'traffic-client.c', 'traffic.c', 'traffic.h'],
  'traffic-server': ['traffic-server.c', 'traffic.c', 'traffic.h'],
  frames: ['frames.c'],
  'forward-reference': ['forward-reference.c'],
  'forward-meter': ['forward-meter.c'],
};

/** Where a program of `c/` is. */
export function compiled(name: string): string {
  return join(PRODUCTS, name);
}

/** Builds what is older than its sources, and the command. Returns what was said when that failed. */
export function compileAll(): string | undefined {
  for (const [name, files] of Object.entries(PROGRAMS)) {
    const options = files.filter((file) => file.startsWith('-'));
    const sources = files.filter((file) => !options.includes(file)).map((file) => join(SOURCES, file));
    const product = compiled(name);
    if (existsSync(product) && sources.every((path) => statSync(path).mtimeMs < statSync(product).mtimeMs)) continue;
    mkdirSync(dirname(product), { recursive: true });
    const units = sources.filter((path) => path.endsWith('.c'));
    const result = spawnSync('cc', ['-O2', ...options, '-o', product, ...units], { encoding: 'utf8' });
    if (result.status !== 0) return `${name} could not be compiled: ${result.error?.message ?? result.stderr.trim()}`;
  }
  const bundled = spawnSync(process.execPath, [BUNDLE], { encoding: 'utf8' });
  return bundled.status === 0 ? undefined : `the command could not be bundled: ${bundled.stderr.trim()}`;
}
