/** The tests of `test/guest/inside`, run in a guest whose kernel has what this machine's may lack: see `scripts/test-guest.mjs`. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const SCRIPT = fileURLToPath(new URL('../../../scripts/test-guest.mjs', import.meta.url));
const SKIPPED = 77;

test('the tests inside a guest pass', async (t) => {
  const child = spawn(process.execPath, [SCRIPT, '--no-setup', '--inside'], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  const status = await new Promise((resolve) => child.once('close', resolve));
  if (status === SKIPPED) return t.skip(output.trim());
  assert.equal(status, 0, output);
  for (const [line] of output.matchAll(/^\u2139 .*|^test:guest: .*/gm)) t.diagnostic(line);
});
