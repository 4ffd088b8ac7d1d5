/** What the command may reach: the host's loopback, metadata services, protocols that are off, and the bound on flows. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { FAMILIES, PLACES } from '../support/netns/internet.ts';
import { authority, inLab, report } from '../support/netns/lab.ts';
import { lacking } from '../support/netns/programs.ts';

const METADATA = { 4: '169.254.169.254', 6: 'fd00:ec2::254' } as const;

inLab("the host's loopback", (lab) => {
  it('is out of reach unless asked for', async () => {
    const host = lab.onHost(lab.nodeProgram('server', 'host'));
    await host.says(/^ready$/m);
    for (const address of [PLACES.gateway[4], '127.0.0.1']) {
      const ran = await lab.run([], lab.client('connect', address, '8080'));
      assert.equal(report(ran)['outcome'], 'ECONNREFUSED');
    }
    const ran = await lab.runShell([], 'getent hosts host.tapster.internal');
    assert.equal(ran.stdout, '');
    host.kill('SIGKILL');
    await host.ended;
  });

  // covers P17
  it('is reached as host.tapster.internal with --host-loopback, over both families', {
    skip: lacking('curl'),
  }, async () => {
    const host = lab.onHost(lab.nodeProgram('server', 'host'));
    await host.says(/^ready$/m);
    for (const family of FAMILIES) {
      const ran = await lab.run(
        ['--host-loopback'],
        ['curl', '-sS', `-${family}`, 'http://host.tapster.internal:8080/'],
      );
      assert.match(ran.stdout, /^hello from the host's loopback/, ran.stderr);
      assert.equal(
        ran.closed.find(({ protocol }) => protocol === 'tcp')?.target?.address,
        family === 4 ? '127.0.0.1' : '::1',
      );
    }
    host.kill('SIGKILL');
    await host.ended;
  });

  it('is reached at the address that --host-loopback names, over TCP and UDP', async () => {
    const host = lab.onHost(lab.nodeProgram('server', 'host'));
    await host.says(/^ready$/m);
    const command = `${lab.clientText('udp-echo', '192.0.2.77', '7', '100')}; curl -sS http://${authority('192.0.2.77', 8080)}/`;
    const ran = await lab.runShell(['--host-loopback', '192.0.2.77'], command);
    assert.equal(ran.stdout.split('\n')[0], '{"echoed":true}', ran.stderr);
    assert.match(ran.stdout, /hello from the host's loopback/);
    host.kill('SIGKILL');
    await host.ended;
  });
});

inLab('policy', (lab) => {
  for (const family of FAMILIES) {
    it(`metadata services are refused, over IPv${family}`, async () => {
      const ran = await lab.run([], lab.client('connect', METADATA[family], '80'));
      assert.equal(report(ran)['outcome'], 'ECONNREFUSED');
      assert.deepEqual(
        ran.closed.map(({ outcome }) => outcome),
        ['denied'],
      );
    });

    it(`--allow-metadata lets the command try, over IPv${family}`, async () => {
      // The lab has none: its router says that there is no route.
      const ran = await lab.run(['--allow-metadata'], lab.client('connect', METADATA[family], '80'));
      assert.match(String(report(ran)['outcome']), /^E(HOST|NET)UNREACH$/);
      assert.deepEqual(
        ran.closed.map(({ outcome }) => outcome),
        ['unreachable'],
      );
    });
  }

  // covers P15
  it('--no-tcp refuses TCP, and UDP goes on', async () => {
    const line = `${lab.clientText('connect', PLACES.server[4], '80')}; ${lab.clientText('udp-echo', PLACES.server[4], '7', '10')}`;
    const ran = await lab.runShell(['--no-tcp'], line);
    assert.match(ran.stdout, /ECONNREFUSED/, ran.stderr);
    assert.match(ran.stdout, /"echoed":true/);
  });

  it('--no-udp refuses UDP, and TCP goes on', async () => {
    const line = `${lab.clientText('udp-echo', PLACES.server[4], '7', '10')}; ${lab.clientText('connect', PLACES.server[4], '80')}`;
    const ran = await lab.runShell(['--no-udp'], line);
    const [datagram, connection] = ran.stdout.split('\n');
    assert.match(datagram!, /"error":"(EHOSTUNREACH|EACCES|ECONNREFUSED)"/, ran.stderr);
    assert.match(connection!, /connected/);
  });

  // The option's help promises it; policy, and its unit test, refuse.
  it('--no-udp leaves the DNS that is forwarded', { skip: lacking('dig') }, async () => {
    const ran = await lab.runShell(['--no-udp'], 'dig +short +tries=1 +timeout=30 www.test');
    assert.equal(ran.stdout, `${PLACES.server[4]}\n`);
  });

  it('--no-icmp refuses ping, and says so', { skip: lacking('ping') }, async () => {
    for (const family of FAMILIES) {
      const ran = await lab.run(
        ['--no-icmp'],
        ['ping', `-${family}`, '-n', '-c', '1', '-W', '30', PLACES.server[family]],
      );
      assert.equal(ran.status, 1, ran.stdout);
      assert.match(ran.stdout, /filtered|prohibited/i);
    }
  });

  // covers P21
  it('with --max-flows 16 the seventeenth connection is refused, and the others stay', async () => {
    const ran = await lab.run(['--max-flows', '16'], lab.client('hold', PLACES.server[4], '17', '17'));
    assert.deepEqual(report(ran), { outcomes: [...Array(16).fill('held'), 'ECONNREFUSED'] });
    assert.equal(ran.opened.length, 16);
  });
});
