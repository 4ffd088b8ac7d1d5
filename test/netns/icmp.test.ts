/** ping, traceroute and mtr through Tapster on the real kernel. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { it } from 'node:test';
import { FAMILIES, PLACES } from '../support/netns/internet.ts';
import { inLab } from '../support/netns/lab.ts';
import { lacking } from '../support/netns/programs.ts';

/** The way from the guest to `PLACES.far`. */
const HOPS = {
  4: [PLACES.gateway[4], PLACES.router[4], PLACES.far[4]],
  6: [PLACES.gateway[6], PLACES.router[6], PLACES.far[6]],
} as const;

/** What traceroute sends, Tapster's options for it, and traceroute's: raw sockets inside need --root. */
const TRACES: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  ['UDP', [], []],
  ['ICMP', ['--root'], ['-I']],
  ['TCP', ['--root'], ['-T', '-p', '80']],
];

inLab('ICMP', (lab) => {
  for (const family of FAMILIES) {
    const server = PLACES.server[family];
    const far = PLACES.far[family];
    const ping = ['ping', `-${family}`, '-n', '-W', '30'];

    // covers P12
    for (const size of [56, 1400, 10_000]) {
      it(`ping of ${size} bytes gets all its answers, over IPv${family}`, { skip: lacking('ping') }, async () => {
        // All at once (`-l`): between its packets ping would wait for the last one no longer than twice the longest time so far.
        const ran = await lab.run([], [...ping, '-c', '3', '-l', '3', '-s', String(size), server]);
        assert.equal(ran.status, 0, ran.stdout + ran.stderr);
        assert.match(ran.stdout, / 3 received, 0% packet loss/);
        const [flow] = ran.closed;
        assert.equal(flow?.protocol, family === 4 ? 'icmp' : 'icmpv6');
        assert.deepEqual([flow.packetsOut, flow.packetsIn], [3, 3]);
      });
    }

    it(`ping hears that a host is unreachable, over IPv${family}`, { skip: lacking('ping') }, async () => {
      const ran = await lab.run([], [...ping, '-c', '1', PLACES.unreachable[family]]);
      assert.equal(ran.status, 1);
      assert.match(ran.stdout, family === 4 ? /Destination Host Unreachable/ : /Destination unreachable: No route/);
    });

    for (const [name, options, line] of TRACES) {
      it(`traceroute with ${name} shows the hops, over IPv${family}`, { skip: lacking('traceroute') }, async () => {
        const words = ['traceroute', `-${family}`, '-n', '-q', '1', '-w', '30', '-m', '6', ...line, far];
        const ran = await lab.run(options, words);
        assert.equal(ran.status, 0, ran.stderr);
        assert.deepEqual(hopsOf(ran.stdout), HOPS[family], ran.stdout);
      });
    }

    it(`mtr shows the hops, over IPv${family}`, { skip: lacking('mtr') }, async () => {
      const words = ['mtr', `-${family}`, '-n', '-r', '-c', '1', '-i', '0.1', '-G', '1', '-Z', '1', far];
      const ran = await lab.run(['--root'], words);
      assert.equal(ran.status, 0, ran.stderr);
      const shown = [...ran.stdout.matchAll(/^\s*\d+\.\|--\s+(\S+)/gm)].map(([, hop]) => hop);
      assert.deepEqual(shown, HOPS[family], ran.stdout);
    });
  }

  it('where ping sockets are refused, ping is told so at once, or works all the same', {
    skip: lacking('ping'),
  }, async () => {
    const sysctl = (value: string): void => {
      const words = [...lab.internet.in(lab.internet.host), 'sysctl', '-qw', `net.ipv4.ping_group_range=${value}`];
      spawnSync(words[0]!, words.slice(1));
    };
    sysctl('1 0');
    try {
      const ran = await lab.run([], ['ping', '-n', '-c', '1', '-W', '60', PLACES.server[4]]);
      // Root has raw sockets in their place.
      if (lab.user === 'root') assert.equal(ran.status, 0, ran.stdout);
      else assert.match(ran.stdout, /Packet filtered|Communication prohibited|Destination Host Prohibited/i);
      assert.ok(ran.durationMs < 60_000, 'ping did not wait for its time-out');
    } finally {
      sysctl('0 2147483647');
    }
  });
});

function hopsOf(output: string): string[] {
  return [...output.matchAll(/^\s*\d+\s+(\S+)/gm)].map(([, hop]) => hop!);
}
