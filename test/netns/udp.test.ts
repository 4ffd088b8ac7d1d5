/** UDP through Tapster on the real kernel. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { FAMILIES, PLACES } from '../support/netns/internet.ts';
import { inLab, report } from '../support/netns/lab.ts';
import { inOneOf, tookTooLong } from '../support/netns/process.ts';
import { lacking } from '../support/netns/programs.ts';

/** Largest first: a datagram's payload within an IPv4 packet is 65,507 bytes at most. */
const SIZES = [32_768, 60_000];

inLab('UDP', (lab) => {
  for (const family of FAMILIES) {
    const server = PLACES.server[family];

    // covers P13
    it(`a datagram goes there and back, over IPv${family}`, async () => {
      await inOneOf(5, async () => {
        const ran = await lab.run([], lab.client('udp-echo', server, '7', '100'));
        assert.deepEqual(report(ran), { echoed: true });
        const [flow] = ran.closed;
        assert.deepEqual([flow?.protocol, flow?.bytesOut, flow?.bytesIn], ['udp', 100, 100]);
        // The end of the command does not wait for time-outs of UDP.
        return tookTooLong(ran.durationMs, 5000);
      });
    });

    it(`a datagram that is a command's last act leaves, over IPv${family}`, { skip: lacking('bash') }, async () => {
      const ran = await lab.run([], ['bash', '-c', `echo bye > /dev/udp/${server}/7`]);
      assert.deepEqual(
        ran.closed.map(({ protocol, bytesOut }) => [protocol, bytesOut]),
        [['udp', 4]],
      );
    });

    it(`a closed port is reported to a connected socket, over IPv${family}`, async () => {
      const ran = await lab.run([], lab.client('udp-echo', server, '9', '100'));
      assert.deepEqual(report(ran), { error: 'ECONNREFUSED' });
    });

    for (const size of SIZES) {
      it(`a datagram of ${size} bytes goes there and back, over IPv${family}`, async () => {
        const ran = await lab.run([], lab.client('udp-echo', server, '7', String(size)));
        assert.deepEqual(report(ran), { echoed: true });
      });

      // covers P6
      it(`a datagram of ${size} bytes goes there and back in fragments, over IPv${family}`, async () => {
        const ran = await lab.run(['--mtu', '1500'], lab.client('udp-echo', server, '7', String(size)));
        assert.deepEqual(report(ran), { echoed: true });
      });
    }

    it(`one socket has one address for all servers, and a stranger can call it there, over IPv${family}`, async () => {
      const ran = await lab.run([], lab.client('stun', server, PLACES.otherServer[family]));
      const { seen, greeting, port } = report<{ seen: object[]; greeting: string; port: number }>(ran);
      const expected = { address: PLACES.host[family], port, asked: 'who am I' };
      assert.deepEqual(seen, [expected, expected]);
      assert.equal(greeting, 'hello from a stranger');
    });
  }
});
