/** Names: what /etc/resolv.conf inside says, and who answers. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { PLACES } from '../support/netns/internet.ts';
import { inLab, type Lab } from '../support/netns/lab.ts';
import type { Program } from '../support/netns/process.ts';
import { lacking } from '../support/netns/programs.ts';

const skip = lacking('dig');
/** What the lab starts with. */
const RESOLV_CONF = 'nameserver 10.99.0.1\nsearch example.test\n';
const ASK_WHO = 'dig +short +timeout=30 +tries=1 who.test TXT';

inLab('DNS', (lab) => {
  // covers P13, P19
  it('dig gets answers over UDP', { skip }, async () => {
    const ran = await lab.runShell([], 'dig +short www.test A; dig +short www.test AAAA');
    assert.equal(ran.stdout, `${PLACES.server[4]}\n${PLACES.server[6]}\n`, ran.stderr);
    const [flow] = ran.closed;
    assert.equal(flow?.protocol, 'udp');
    assert.equal(flow.target?.address, PLACES.gateway[4], 'the host asks its own resolver');
  });

  it('dig gets answers over TCP', { skip }, async () => {
    const ran = await lab.runShell([], 'dig +tcp +short www.test A');
    assert.equal(ran.stdout, `${PLACES.server[4]}\n`, ran.stderr);
    assert.deepEqual(
      ran.closed.map(({ protocol }) => protocol),
      ['tcp'],
    );
  });

  it('an answer too large for UDP comes over TCP', { skip }, async () => {
    const ran = await lab.runShell([], 'dig +bufsize=512 big.test TXT');
    assert.match(ran.stdout, /ANSWER: 40,/, ran.stderr);
    assert.deepEqual([...new Set(ran.closed.map(({ protocol }) => protocol))].sort(), ['tcp', 'udp']);
  });

  it('the resolver inside has the search domains of the host', async () => {
    const ran = await lab.runShell([], 'cat /etc/resolv.conf; getent hosts www');
    assert.match(ran.stdout, /^search example\.test$/m);
    assert.match(ran.stdout, /www\.example\.test/, ran.stderr);
  });

  it('both families have a server', { skip }, async () => {
    const ran = await lab.runShell([], `${ASK_WHO} @fd74:6170:7374:6572::53; ${ASK_WHO} @169.254.1.53`);
    assert.equal(ran.stdout, '"the internet"\n"the internet"\n', ran.stderr);
  });

  it('flows have the names that were asked for', { skip: lacking('curl') }, async () => {
    const ran = await lab.run([], ['curl', '-4sS', 'http://www.test/']);
    assert.match(ran.stdout, /^hello from the internet to 10\.99\.0\.2$/m, ran.stderr);
    const flow = ran.closed.find(({ protocol }) => protocol === 'tcp');
    assert.equal(flow?.name, 'www.test');
  });

  it("a resolver on the host's loopback answers", { skip }, async () => {
    const host = await resolverOnHost(lab);
    lab.internet.setResolvConf('nameserver 127.0.0.53\n');
    try {
      const ran = await lab.runShell([], `${ASK_WHO}; ${ASK_WHO} +tcp`);
      assert.equal(ran.stdout, '"the host"\n"the host"\n', ran.stderr);
    } finally {
      lab.internet.setResolvConf(RESOLV_CONF);
      host.kill('SIGKILL');
      await host.ended;
    }
  });

  it("a change of the host's resolv.conf is followed", { skip }, async () => {
    const host = await resolverOnHost(lab);
    const ask = `until [ "$(${ASK_WHO})" = '"the host"' ] && grep -q elsewhere /etc/resolv.conf; do sleep 0.05; done`;
    const program = lab.start(['run', '--', 'sh', '-c', `${ASK_WHO}; ${ask}; echo followed`]);
    try {
      await program.says(/the internet/);
      lab.internet.setResolvConf('nameserver 127.0.0.53\nsearch elsewhere.test\n');
      await program.says(/followed/);
      assert.equal((await program.ended).status, 0);
    } finally {
      lab.internet.setResolvConf(RESOLV_CONF);
      host.kill('SIGKILL');
      await host.ended;
    }
  });

  it('--dns names the server that the command asks itself', { skip }, async () => {
    const ran = await lab.runShell(['--dns', PLACES.server[4]], `cat /etc/resolv.conf; ${ASK_WHO}`);
    assert.match(ran.stdout, new RegExp(`^nameserver ${PLACES.server[4]}$`, 'm'));
    assert.match(ran.stdout, /^"the internet"$/m);
    assert.equal(ran.closed[0]?.target, undefined);
  });

  it('--no-dns leaves resolv.conf alone', async () => {
    const ran = await lab.runShell(['--no-dns'], 'cat /etc/resolv.conf');
    assert.equal(ran.stdout, RESOLV_CONF);
  });
});

async function resolverOnHost(lab: Lab): Promise<Program> {
  const program = lab.onHost(lab.nodeProgram('server', 'host'));
  await program.says(/^ready$/m);
  return program;
}
