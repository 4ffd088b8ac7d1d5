/**
 * Debian's clients in a real machine, by each kind of link: an address by DHCPv6, and curl with bodies that are compared by hash, at an MTU of 1500. `npm run test:guest` makes the
 * bodies larger (`TAPSTER_BODY_BYTES`): an emulated machine takes its time.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { PLACES, whyNoInternet } from '../support/netns/internet.ts';
import { Lab } from '../support/netns/lab.ts';
import { patternHash } from '../support/netns/pattern.ts';
import { endAll, type Program } from '../support/netns/process.ts';
import { type Image, Machine, qemuWords, SHARED_MEMORY, vmImage, withoutVectors } from './machine.ts';

const why = whyNoInternet();
const image = why === undefined ? vmImage('dhclient', 'curl') : why;
const skip = typeof image === 'string' ? image : false;
const BODY_BYTES = Number(process.env['TAPSTER_BODY_BYTES'] ?? 4_000_000);
/** An emulated machine that others run beside makes a megabyte a second, or less. */
const BODY_TIMEOUT_MS = 180_000 + BODY_BYTES / 500;
const ENDLESS = { timeoutMs: 0, keepInput: true } as const;

/** What the machine can make endlessly, and of which no shift goes unseen: no segment is a multiple of a line. */
const LINE = '0123456789abcdef\n';
/** The kernel asks first whether somebody else has an address. */
const ADDRESSES_READY =
  'until ip -6 addr show dev eth0 >/a; grep -q "inet6 fe80" /a && ! grep -q tentative /a; do sleep 0.1; done';
const DHCLIENT_SCRIPT = [
  '#!/bin/sh',
  '[ "$reason" = BOUND6 ] || exit 0',
  'ip -6 addr add "$new_ip6_address/$new_ip6_prefixlen" dev "$interface"',
  'echo "bound $new_ip6_address dns=$new_dhcp6_name_servers"',
].join('\n');

for (const [kind, options, more] of [
  ['a stream', [], []],
  ['vhost-user', ['--vhost-user'], SHARED_MEMORY],
] as const) {
  describe(`clients in a virtual machine behind ${kind}`, { skip }, () => {
    const lab = new Lab('user', {});
    let vm: Machine;
    before(async () => {
      await lab.up();
      const served: Program = lab.start(
        ['guest', '--socket', lab.newPath('vm.sock'), '-p', '8081:80', ...options],
        ENDLESS,
      );
      const [, line] = await served.says(/ (-(?:netdev|chardev) .*)$/m);
      const words = withoutVectors(line!.split(' '));
      vm = new Machine(lab.onHost([...qemuWords(image as Image), ...more, ...words], ENDLESS));
      await vm.booted();
      assert.match(await vm.run('/up'), /^lease /m);
      await vm.run('ip link set eth0 mtu 1500');
    });
    after(async () => {
      await endAll();
      await lab.down();
    });

    it('have an address and a resolver from DHCPv6', async () => {
      await vm.run(`cat >/bound6 <<'END'\n${DHCLIENT_SCRIPT}\nEND\nchmod +x /bound6`);
      await vm.run(ADDRESSES_READY);
      const bound = await vm.run('dhclient -6 -1 -q -sf /bound6 -lf /tmp/leases -pf /tmp/pid eth0');
      assert.match(bound, new RegExp(`^bound ${PLACES.host[6]} dns=fd74:6170:7374:6572::53$`, 'm'));
      await vm.run('until ip -6 route show default | grep -q .; do sleep 0.1; done');
      await vm.run(ADDRESSES_READY);
      assert.match(await vm.run(`ping -c 1 -I ${PLACES.host[6]} ${PLACES.server[6]}`), /1 packets received/);
    });

    for (const [server, bytes] of [
      [PLACES.server[4], BODY_BYTES],
      [`[${PLACES.server[6]}]`, BODY_BYTES / 4],
    ] as const) {
      it(`receive and send all bytes, from and to ${server}`, async () => {
        const url = `http://${server}/bytes/${bytes}`;
        const received = await vm.run(`curl -sgf ${url} | sha256sum`, BODY_TIMEOUT_MS);
        assert.equal(received.split(' ')[0], patternHash(bytes));
        const body = `yes ${LINE.trim()} | head -c ${bytes}`;
        const told = await vm.run(`${body} | curl -sgf -T - http://${server}/hash`, BODY_TIMEOUT_MS);
        assert.deepEqual(JSON.parse(told), { bytes, sha256: hashOfLines(bytes) });
      });
    }

    it('are called by a published port', async () => {
      await vm.run(`mkdir -p /www; yes ${LINE.trim()} | head -c ${BODY_BYTES / 4} >/www/body; httpd -p 80 -h /www`);
      const url = `http://${PLACES.host[4]}:8081/body`;
      const got = await lab.inNet(['sh', '-c', `curl -sf ${url} | sha256sum`], { timeoutMs: BODY_TIMEOUT_MS }).ended;
      assert.equal(got.stdout.split(' ')[0], hashOfLines(BODY_BYTES / 4), got.stderr);
    });
  });
}

function hashOfLines(bytes: number): string {
  const hash = createHash('sha256');
  const block = Buffer.from(LINE.repeat(60_000));
  for (let left = bytes; left > 0; left -= block.length) hash.update(block.subarray(0, left));
  return hash.digest('hex');
}
