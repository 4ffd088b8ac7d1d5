/** The network that the command finds inside: the host's own, what options make of it, and what there is where the host has none. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { PLACES } from '../support/netns/internet.ts';
import { inLab, report } from '../support/netns/lab.ts';
import { inOneOf, tookTooLong } from '../support/netns/process.ts';

interface Shown {
  readonly ifname: string;
  readonly mtu: number;
  readonly address: string;
  readonly addr_info: readonly { readonly local: string; readonly prefixlen: number; readonly scope: string }[];
}

const SHOW = ['ip', '-j', 'addr', 'show', 'up'];

inLab('the interface', (lab) => {
  async function show(...options: string[]): Promise<Shown> {
    const ran = await lab.run(options, SHOW);
    const links = report(ran) as unknown as Shown[];
    const found = links.find(({ ifname }) => ifname !== 'lo');
    assert.ok(found !== undefined, ran.stdout);
    return found;
  }

  function globalAddresses({ addr_info: addresses }: Shown): string[] {
    return addresses.filter(({ scope }) => scope === 'global').map(({ local, prefixlen }) => `${local}/${prefixlen}`);
  }

  // covers P19
  it("has the host's addresses and prefix lengths", async () => {
    const shown = await show();
    assert.equal(shown.ifname, 'eth0');
    assert.equal(shown.mtu, 65_520);
    assert.deepEqual(globalAddresses(shown), [`${PLACES.host[4]}/24`, `${PLACES.host[6]}/64`]);
  });

  it("has the host's routes", async () => {
    const ran = await lab.runShell([], 'ip route; ip -6 route');
    assert.match(ran.stdout, /^default via 10\.99\.0\.1 dev eth0/m);
    assert.match(ran.stdout, /^default via fd99::1 dev eth0/m);
    assert.match(ran.stdout, /^10\.99\.0\.0\/24 dev eth0/m);
  });

  it('is in a namespace whose TCP does not pace', async () => {
    const ran = await lab.run([], ['cat', '/proc/sys/net/ipv4/tcp_congestion_control']);
    assert.equal(ran.stdout, 'reno\n');
  });

  it('is what the options say', async () => {
    const options = [
      '--ifname',
      'net7',
      '--mtu',
      '1400',
      '--mac',
      '02:00:00:00:00:07',
      '--address',
      '10.1.2.3/8',
      '--address',
      'fd00:1::3/48',
    ];
    const shown = await show(...options);
    assert.deepEqual([shown.ifname, shown.mtu, shown.address], ['net7', 1400, '02:00:00:00:00:07']);
    assert.deepEqual(globalAddresses(shown), ['10.1.2.3/8', 'fd00:1::3/48']);
  });

  it('carries traffic under other addresses and gateways', async () => {
    const options = [
      '--address',
      '172.30.1.2/24',
      '--gateway',
      '172.30.1.1',
      '--address',
      'fd00:1::2/64',
      '--gateway',
      'fd00:1::1',
    ];
    for (const server of [PLACES.server[4], PLACES.server[6]]) {
      const ran = await lab.run(options, lab.client('exchange', server, '7', 'hello'));
      assert.equal(report(ran)['answer'], 'hello', ran.stderr);
    }
  });

  it('has no IPv6 with -4', async () => {
    const ran = await lab.run(['-4'], lab.client('connect', PLACES.server[6], '80'));
    assert.match(String(report(ran)['outcome']), /^E(NETUNREACH|ADDRNOTAVAIL)$/);
    assert.deepEqual(globalAddresses(await show('-4')), [`${PLACES.host[4]}/24`]);
  });

  it('has no IPv4 with -6', async () => {
    const ran = await lab.run(['-6'], lab.client('connect', PLACES.server[4], '80'));
    assert.equal(report(ran)['outcome'], 'ENETUNREACH');
    assert.deepEqual(globalAddresses(await show('-6')), [`${PLACES.host[6]}/64`]);
  });
});

inLab(
  'a host without IPv6',
  (lab) => {
    it('gives the command IPv4 as ever', async () => {
      const ran = await lab.run([], lab.client('exchange', PLACES.server[4], '7', 'hello'));
      assert.equal(report(ran)['answer'], 'hello', ran.stderr);
    });

    it('tells the command that IPv6 leads nowhere, at once', async () => {
      await inOneOf(5, async () => {
        const ran = await lab.run([], lab.client('connect', PLACES.server[6], '80'));
        const { outcome, ms } = report<{ outcome: string; ms: number }>(ran);
        assert.match(outcome, /^E(NETUNREACH|HOSTUNREACH|ADDRNOTAVAIL|ACCES)$/);
        return tookTooLong(ms, 900);
      });
    });

    it('publishes ports over IPv4', async () => {
      const program = lab.start(['run', '-p', '8080', '--', ...lab.client('serve-tcp', '1', '8080')]);
      await program.says(/^listening/m);
      const caller = lab.inNet(lab.nodeProgram('client', 'exchange', PLACES.host[4], '8080', 'hello'));
      assert.equal(report(await caller.ended)['answer'], 'hello');
      assert.equal((await program.ended).status, 0, program.stderr);
    });
  },
  { ipv6: false },
);

inLab(
  'a host without a default route',
  (lab) => {
    it('gives the command private addresses in both families', async () => {
      const ran = await lab.runShell(
        [],
        'ip -4 -o addr show dev eth0; ip -6 -o addr show dev eth0 scope global; ip route; ip -6 route',
      );
      assert.match(ran.stdout, /inet (10|172|192)\./, ran.stderr);
      assert.match(ran.stdout, /inet6 fd/);
      assert.equal(ran.stdout.match(/^default via/gm)?.length, 2);
    });

    it('carries what the host itself can reach', async () => {
      const ran = await lab.run([], lab.client('exchange', PLACES.gateway[4], '7', 'hello'));
      assert.equal(report(ran)['answer'], 'hello', ran.stderr);
    });

    it('tells the command that the rest leads nowhere', async () => {
      const ran = await lab.run([], lab.client('connect', PLACES.server[4], '80'));
      assert.equal(report(ran)['outcome'], 'ENETUNREACH', ran.stderr);
    });
  },
  { defaultRoute: false },
);
