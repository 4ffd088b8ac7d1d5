/**
 * Tests that change the network: a file of them runs itself once more under unshare(1), as root in a network and a mount namespace of its own, with an empty /run.
 * The inner run holds the tests. What goes wrong inside is printed by the outer test, and so is why it can not run.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Result } from '../base/result.ts';

const INNER = 'TAPSTER_TEST_OWN_NAMESPACE';
const SET_UP = 'mount -t tmpfs tmpfs /run && mkdir -p /run/netns /var/run/netns && ip link set lo up && exec "$@"';
/** Below what a file of tests is given, so that what the inner run said is printed; in an emulated guest beside other work it takes a minute and more. */
const TIMEOUT_MS = 280_000;

/** `url` is that of the file whose tests they are. */
export function inOwnNamespace(url: string, name: string, tests: () => void): void {
  if (process.env[INNER] === url) {
    tests();
    return;
  }
  test(`${name}, in a namespace of its own`, (t) => {
    const user = process.getuid!() === 0 ? [] : ['--user', '--map-root-user'];
    const enter = [...user, '--net', '--mount', 'sh', '-c', SET_UP, 'sh'];
    const probe = spawnSync('unshare', [...enter, 'sh', '-c', ': <> /dev/net/tun'], { encoding: 'utf8' });
    if (probe.status !== 0) {
      t.skip(`no network namespace with a tun device here: ${probe.error?.message ?? probe.stderr.trim()}`);
      return;
    }
    const { NODE_TEST_CONTEXT: _, ...environment } = process.env;
    const inner = spawnSync('unshare', [...enter, process.execPath, fileURLToPath(url)], {
      encoding: 'utf8',
      env: { ...environment, [INNER]: url },
      timeout: TIMEOUT_MS,
    });
    assert.equal(inner.status, 0, `${inner.stdout}${inner.stderr}`);
    for (const [line] of inner.stdout.matchAll(/^ok .*# SKIP.*$/gm)) t.diagnostic(line);
  });
}

/** A process in a network namespace of its own, "pid:N", which ends with the test. */
export async function startContainer(
  t: TestContext,
): Promise<{ readonly process: ChildProcess; readonly text: string }> {
  const child = spawn('unshare', ['--net', 'sh', '-c', 'ip link set lo up; echo up; exec sleep 60'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  await new Promise((resolve) => child.stdout.once('data', resolve));
  return { process: child, text: `pid:${child.pid}` };
}

/** What ip(8) prints. */
export function ip(...words: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync('ip', words, { encoding: 'utf8' });
  assert.equal(status, 0, `ip ${words.join(' ')}: ${stderr}`);
  return stdout;
}

/** How many descriptors this process has open. */
export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

export function unwrap<T>(result: Result<T>): T {
  assert.ok(result.ok, JSON.stringify(result));
  return result.value;
}

/** The code and the message of a failure. */
export function failed(result: Result<unknown>): { readonly code: string; readonly message: string } {
  assert.ok(!result.ok, 'this should have failed');
  return result.failure;
}
