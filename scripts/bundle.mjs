/**
 * `dist/bin/tapster.js`: the `tapster` command with all that it imports, in a few files instead of a hundred and more.
 *
 * Node finds, reads and links each module by itself: that is a quarter, on a busy machine up to half, of what `tapster run`
 * would need to start. What is loaded only when it is asked for (`await import`) stays a file of its own. Nothing is made shorter: a
 * stack trace names what it names in the sources.
 */
import { chmodSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const dist = fileURLToPath(new URL('../dist', import.meta.url));
/** As deep as the files that it is made of: paths relative to a module lead to the same place. */
const out = join(dist, 'bin');

if (process.argv[1] === fileURLToPath(import.meta.url)) await bundle();

export async function bundle() {
  rmSync(out, { recursive: true, force: true });
  await build({
    entryPoints: { tapster: join(dist, 'cli', 'main.js'), 'demo-inside': join(dist, 'cli', 'demo-inside.js') },
    outdir: out,
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node20.20',
    // Commander is CommonJS, and asks for Node's modules by `require`.
    banner: {
      js: `import { createRequire as requireOf } from 'node:module';\nconst require = requireOf(import.meta.url);`,
    },
    logLevel: 'warning',
  });
  chmodSync(join(out, 'tapster.js'), 0o755);
}
