/** TCP through Tapster on the real kernel: how connections come to be, how they end, and what slow readers do to them. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { it } from 'node:test';
import { FAMILIES, PLACES } from '../support/netns/internet.ts';
import { authority, inLab, report } from '../support/netns/lab.ts';
import { patternHash } from '../support/netns/pattern.ts';
import { eventually, inOneOf, tookTooLong } from '../support/netns/process.ts';
import { lacking } from '../support/netns/programs.ts';

const MEGABYTE = 1_000_000;
/** How often something may be tried that a busy machine makes slow, or has a kernel send twice. */
const TRIES = 5;
/** What refuses must do so at once: a time-out of TCP's would take a second at least, most are far longer. */
const AT_ONCE_MS = 900;
/**
 * An ICMP error that comes back while connect(2) still owns the socket is not believed by the host's kernel, only the next one, a second later: nearly always so over
 * veth with IPv6, now and then with IPv4.
 */
const UNREACHABLE_MS = AT_ONCE_MS + 1000;

/** Of each sentence one byte in the middle is urgent (send(2), MSG_OOB). */
const URGENT_SERVER = `
  use IO::Socket::INET; use Socket; $| = 1;
  my $listener = IO::Socket::INET->new(LocalAddr => $ARGV[0], LocalPort => 2323, Listen => 1, ReuseAddr => 1) or die $!;
  print "listening\n";
  my $peer = $listener->accept() or die $!;
  setsockopt($peer, SOL_SOCKET, SO_OOBINLINE, 1) or die $!;
  my $heard = ''; while (sysread($peer, my $some, 99)) { $heard .= $some }
  print "heard $heard\n";
  send($peer, 'the answer ', 0); send($peer, 'i', MSG_OOB); send($peer, 's 42', 0);`;
const URGENT_CLIENT = `
  use IO::Socket::INET; use Socket;
  my $server = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => 2323) or die $!;
  send($server, 'the whole ', 0); send($server, 'q', MSG_OOB); send($server, 'uestion', 0);
  shutdown($server, 1);
  while (sysread($server, my $some, 99)) { print $some }`;

inLab('connections', (lab) => {
  // covers P14
  for (const family of FAMILIES) {
    it(`a refused connection fails at once, over IPv${family}`, { skip: lacking('curl') }, async () => {
      const url = `http://${authority(PLACES.server[family], 4)}/`;
      await inOneOf(TRIES, async () => {
        const ran = await lab.run([], ['curl', '-sS', '--max-time', '60', '-w', '%{time_total}', url]);
        assert.equal(ran.status, 7, ran.stderr);
        assert.deepEqual(
          ran.closed.map(({ outcome }) => outcome),
          ['refused'],
        );
        return tookTooLong(Number(ran.stdout) * 1000, AT_ONCE_MS);
      });
    });

    it(`a filtered connection times out, and the flow says so, over IPv${family}`, {
      skip: lacking('curl'),
    }, async () => {
      const url = `http://${authority(PLACES.filtered[family])}/`;
      const ran = await lab.run([], ['curl', '-sS', '--max-time', '1', url]);
      assert.equal(ran.status, 28, ran.stderr);
      assert.deepEqual(
        ran.closed.map(({ outcome }) => outcome),
        ['timeout'],
      );
    });

    it(`an unreachable host is reported at once, over IPv${family}`, async () => {
      await inOneOf(TRIES, async () => {
        const ran = await lab.run([], lab.client('connect', PLACES.unreachable[family], '80'));
        const { outcome, ms } = report<{ outcome: string; ms: number }>(ran);
        assert.equal(outcome, family === 4 ? 'EHOSTUNREACH' : 'ENETUNREACH');
        assert.deepEqual(
          ran.closed.map((flow) => flow.outcome),
          ['unreachable'],
        );
        return tookTooLong(ms, UNREACHABLE_MS);
      });
    });

    it(`an unreachable network is reported at once, over IPv${family}`, async () => {
      await inOneOf(TRIES, async () => {
        const ran = await lab.run([], lab.client('connect', PLACES.nowhere[family], '80'));
        const { outcome, ms } = report<{ outcome: string; ms: number }>(ran);
        assert.match(outcome, /^(ENETUNREACH|EHOSTUNREACH)$/);
        assert.deepEqual(
          ran.closed.map((flow) => flow.outcome),
          ['unreachable'],
        );
        return tookTooLong(ms, UNREACHABLE_MS);
      });
    });

    it(`what a router prohibits fails at once, over IPv${family}`, async () => {
      await inOneOf(TRIES, async () => {
        const { outcome, ms } = report<{ outcome: string; ms: number }>(
          await lab.run([], lab.client('connect', PLACES.prohibited[family], '80')),
        );
        assert.match(outcome, /^(EHOSTUNREACH|EACCES|ECONNREFUSED)$/);
        return tookTooLong(ms, UNREACHABLE_MS);
      });
    });

    it(`a reset by the server reaches the command, over IPv${family}`, async () => {
      const ran = await lab.run([], lab.client('be-reset', PLACES.server[family], '13'));
      assert.deepEqual(report(ran), { end: 'ECONNRESET' });
      assert.deepEqual(
        ran.closed.map(({ outcome }) => outcome),
        ['reset'],
      );
    });

    it(`a reset by the command reaches the server, over IPv${family}`, async () => {
      const told = lab.serverTells('watcher');
      const ran = await lab.run([], lab.client('reset', PLACES.server[family], '15'));
      assert.equal((await told)['end'], 'ECONNRESET');
      assert.deepEqual(
        ran.closed.map(({ outcome }) => outcome),
        ['reset'],
      );
    });

    it(`the command may close its half first and go on reading, over IPv${family}`, async () => {
      const ran = await lab.run([], lab.client('exchange', PLACES.server[family], '7', 'first half'));
      assert.equal(report(ran)['answer'], 'first half');
      assert.deepEqual(
        ran.closed.map(({ outcome }) => outcome),
        ['closed'],
      );
    });

    it(`the server may close its half first and go on reading, over IPv${family}`, async () => {
      const told = lab.serverTells('listener');
      const ran = await lab.run([], lab.client('send-after-eof', PLACES.server[family], '11', String(MEGABYTE)));
      assert.deepEqual(report(ran), { received: '' });
      assert.deepEqual(await told, { service: 'listener', bytes: MEGABYTE, sha256: patternHash(MEGABYTE) });
      assert.deepEqual(
        ran.closed.map(({ outcome }) => outcome),
        ['closed'],
      );
    });
  }

  // covers P14, P21
  it('a thousand connections at once all succeed, and nothing is left of them', async () => {
    const flows = lab.newPath('flows');
    const command = lab.client('burst', PLACES.server[4], '7', '1000');
    const program = lab.start(
      ['run', '--flows', flows, '--', 'sh', '-c', `echo inside; read go; exec "$@"`, 'sh', ...command],
      {
        keepInput: true,
      },
    );
    await program.says(/^inside$/m);
    const before = openDescriptors(program.pid);
    program.write('go\n');
    const [, finding] = await program.says(/"burst":(\{.*?\})/);
    assert.deepEqual(JSON.parse(finding!), { ok: 1000 });
    await eventually(`${before} descriptors are open as before`, () => openDescriptors(program.pid) <= before);
    program.endInput();
    assert.equal((await program.ended).status, 0);
    const closed = lab.flows(flows).filter(({ event }) => event === 'close');
    assert.equal(closed.length, 1000);
    assert.deepEqual([...new Set(closed.map(({ outcome }) => outcome))], ['closed']);
  });
});

inLab(
  'slow readers',
  (lab) => {
    /** What comes late on a busy machine is sent again too: of several tries, one goes without. */
    async function sendTo(reading: object, bytes: number, options: readonly string[] = []): Promise<void> {
      const command = lab.client('send', PLACES.server[4], '9', String(bytes), JSON.stringify(reading));
      await inOneOf(TRIES, async () => {
        const { retransmitted, ...found } = report(await lab.run(options, command));
        assert.deepEqual(found, { service: 'reader', bytes, sha256: patternHash(bytes) });
        return retransmitted === 0 ? undefined : `${retransmitted} segments were sent again`;
      });
    }

    // covers P14
    it('a slow reader gets every byte, and the command repeats none', () =>
      sendTo({ bytesPerSecond: 4 * MEGABYTE }, 5 * MEGABYTE));

    it('a reader that stops in the middle gets every byte, and the command repeats none', () =>
      sendTo({ stopAfterBytes: MEGABYTE, stopMs: 2000 }, 8 * MEGABYTE));

    it('a slow reader at MTU 1500 gets every byte, and the command repeats none', () =>
      sendTo({ bytesPerSecond: 4 * MEGABYTE }, 3 * MEGABYTE, ['--mtu', '1500']));

    it('a command that reads slowly gets every byte', async () => {
      const bytes = 20 * MEGABYTE;
      const line = `curl -sS ${authority(PLACES.server[4])}/bytes/${bytes} | (sleep 1; sha256sum)`;
      const ran = await lab.runShell([], line);
      assert.equal(ran.stdout.split(' ')[0], patternHash(bytes), ran.stderr);
    });

    it('urgent bytes are bytes like the others, both ways', { skip: lacking('perl') }, async () => {
      const server = lab.inNet(['perl', '-e', URGENT_SERVER, PLACES.server[4]]);
      await server.says(/^listening$/m);
      const ran = await lab.run([], ['perl', '-e', URGENT_CLIENT, PLACES.server[4]]);
      assert.equal(ran.stdout, 'the answer is 42', ran.stderr);
      await server.says(/^heard the whole question$/m);
      assert.equal((await server.ended).status, 0);
    });

    it('the last bytes of a command that has ended arrive at a slow reader', async () => {
      const bytes = 600_000;
      const told = lab.serverTells('reader');
      const reading = JSON.stringify({ bytesPerSecond: MEGABYTE });
      const ran = await lab.run([], lab.client('last-words', PLACES.server[4], '9', String(bytes), reading));
      assert.equal(ran.status, 0, ran.stderr);
      assert.deepEqual(await told, { service: 'reader', bytes, sha256: patternHash(bytes) });
    });
  },
  { socketBufferBytesMax: 131_072 },
);

inLab('HTTP', (lab) => {
  const bytes = 200 * MEGABYTE;
  const hash = patternHash(bytes);

  for (const family of FAMILIES) {
    // covers P14, P3
    it(`curl gets 200 MB intact, over IPv${family}`, { skip: lacking('curl', 'sha256sum') }, async () => {
      const url = `http://${authority(PLACES.server[family])}/bytes/${bytes}`;
      const ran = await lab.runShell([], `curl -sSg '${url}' | sha256sum`);
      assert.equal(ran.stdout.split(' ')[0], hash, ran.stderr);
      const [flow] = ran.closed;
      assert.equal(flow?.outcome, 'closed');
      assert.ok(flow.bytesIn >= bytes && flow.bytesIn < bytes + 1000, `${flow.bytesIn} bytes came in`);
    });

    it(`curl puts 200 MB intact, over IPv${family}`, { skip: lacking('curl') }, async () => {
      const url = `http://${authority(PLACES.server[family])}/hash`;
      const ran = await lab.runShell([], `${lab.clientText('generate', String(bytes))} | curl -sSg -T - '${url}'`);
      assert.deepEqual(report(ran), { bytes, sha256: hash });
    });
  }
});

function openDescriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}
