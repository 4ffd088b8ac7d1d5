/** Ports that `tapster pasta` forwards, in the sandbox and as whoever it becomes: by splice, over the tap, from inside, and those that follow others. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { it } from 'node:test';
import { PLACES } from '../support/netns/internet.ts';
import { inLab, type Lab, report } from '../support/netns/lab.ts';
import { eventually, type Program } from '../support/netns/process.ts';
import { Container } from './container.ts';

/** Starts pasta in a container, and ends both behind the test. */
async function withPasta(
  lab: Lab,
  options: readonly string[],
  test: (container: Container) => Promise<void>,
): Promise<void> {
  const container = await Container.start(lab);
  const started = await lab.start(['pasta', '--config-net', ...options, String(container.pid)]).ended;
  assert.deepEqual([started.status, started.stderr], [0, '']);
  try {
    await test(container);
  } finally {
    await container.end();
  }
}

function exchange(lab: Lab, address: string, port: string): readonly string[] {
  return lab.nodeProgram('client', 'exchange', address, port, 'hello');
}

async function callersOf(server: Program): Promise<unknown> {
  return report(await server.ended)['callers'];
}

inLab('ports of pasta', (lab) => {
  it('are told of with --debug, past the tap too', async () => {
    const container = await Container.start(lab);
    const pidPath = lab.newPath('pid');
    const words = '-f -d --config-net -t 8080:80 -T 8081 -u 5300:53 -U 5301 -P'.split(' ');
    const pasta = lab.start(['pasta', ...words, pidPath, String(container.pid)]);
    await eventually('it is ready', () => existsSync(pidPath) && readFileSync(pidPath, 'utf8').endsWith('\n'));
    const inside = container.spawn(lab.nodeProgram('client', 'serve-tcp', '1', '80'));
    const outside = lab.onHost(lab.nodeProgram('client', 'serve-tcp', '1', '8081'));
    for (const server of [inside, outside]) await server.says(/^listening/m);
    assert.equal(report(await lab.onHost(exchange(lab, '127.0.0.1', '8080')).ended)['answer'], 'hello');
    await pasta.says(
      /#1 close {2}tcp 127\.0\.0\.1:\d+ > .*:80 \(published\) closed after .*, sent 5 B, received 5 B$/m,
    );
    assert.equal(report(await container.run(exchange(lab, '127.0.0.1', '8081')))['answer'], 'hello');
    await pasta.says(/#2 close {2}tcp 127\.0\.0\.1:\d+ > 127\.0\.0\.1:8081 closed after .*, sent 5 B, received 5 B$/m);
    await inside.ended;
    await lab.onHost(lab.nodeProgram('client', 'connect', '127.0.0.1', '8080')).ended;
    await pasta.says(/#3 close {2}tcp 127\.0\.0\.1:\d+ > .*:80 \(published\) refused after /m);
    const echoes = [
      container.spawn(lab.nodeProgram('client', 'serve-udp', '1', '53')),
      lab.onHost(lab.nodeProgram('client', 'serve-udp', '1', '5301')),
    ];
    for (const echo of echoes) await echo.says(/^listening/m);
    const datagram = (port: string): readonly string[] => lab.nodeProgram('client', 'udp-echo', '127.0.0.1', port, '9');
    assert.equal(report(await lab.onHost(datagram('5300')).ended)['echoed'], true);
    assert.equal(report(await container.run(datagram('5301')))['echoed'], true);
    await pasta.says(/#4 open {3}udp 127\.0\.0\.1:\d+ > .*:53 \(published\) pending$/m);
    await pasta.says(/#5 open {3}udp 127\.0\.0\.1:\d+ > 127\.0\.0\.1:5301 pending$/m);
    await container.end();
    const { status, stderr } = await pasta.ended;
    assert.equal(status, 0);
    assert.match(stderr, /#4 close {2}udp .*:53 \(published\) closed after .*, sent 9 B, received 9 B$/m);
    assert.match(stderr, /#5 close {2}udp .*:5301 closed after .*, sent 9 B, received 9 B$/m);
  });

  it('lead callers of the loopback past the tap, and those from elsewhere over it', async () => {
    await withPasta(lab, ['-t', '8080:80', '-u', 'none', '--host-lo-to-ns-lo'], async (container) => {
      const server = container.spawn(lab.nodeProgram('client', 'serve-tcp', '3', '80'));
      await server.says(/^listening/m);
      for (const loopback of ['127.0.0.1', '::1']) {
        assert.equal(report(await lab.onHost(exchange(lab, loopback, '8080')).ended)['answer'], 'hello');
      }
      assert.equal(report(await lab.inNet(exchange(lab, PLACES.host[4], '8080')).ended)['answer'], 'hello');
      assert.deepEqual(await callersOf(server), ['127.0.0.1', '::1', PLACES.gateway[4]]);
    });
  });

  it("without --host-lo-to-ns-lo, callers of the loopback reach the guest's own address", async () => {
    await withPasta(lab, ['-t', '8080:80', '-u', 'none', '-T', 'none'], async (container) => {
      const server = container.spawn(lab.nodeProgram('client', 'serve-tcp', '1', '80'));
      await server.says(/^listening/m);
      assert.equal(report(await lab.onHost(exchange(lab, '127.0.0.1', '8080')).ended)['answer'], 'hello');
      assert.deepEqual(await callersOf(server), [PLACES.host[4]]);
    });
  });

  it('follow servers of either side unless they are named', async () => {
    await withPasta(lab, [], async (container) => {
      const inside = container.spawn(lab.nodeProgram('client', 'serve-tcp', '1', '7001'));
      await inside.says(/^listening/m);
      await eventually('the host has the port, too', async () => {
        const { outcome } = report(await lab.onHost(lab.nodeProgram('client', 'connect', '127.0.0.1', '7001')).ended);
        return outcome === 'connected';
      });
      assert.equal((await inside.ended).status, 0);
      const outside = lab.onHost(lab.nodeProgram('client', 'serve-tcp', '1', '7002'));
      await outside.says(/^listening/m);
      await eventually('the namespace has the port, too', async () => {
        const { outcome } = report(await container.run(lab.nodeProgram('client', 'connect', '127.0.0.1', '7002')));
        return outcome === 'connected';
      });
      assert.equal((await outside.ended).status, 0);
    });
  });

  it('may be low inside, whoever we are, and carry datagrams', async () => {
    await withPasta(lab, ['-t', 'none', '-u', '5300:53', '-T', '80:7003', '-U', 'none'], async (container) => {
      const outside = lab.onHost(lab.nodeProgram('client', 'serve-tcp', '1', '7003'));
      await outside.says(/^listening/m);
      assert.equal(report(await container.run(exchange(lab, '127.0.0.1', '80')))['answer'], 'hello');
      assert.deepEqual(await callersOf(outside), ['127.0.0.1']);
      const echo = container.spawn(lab.nodeProgram('client', 'serve-udp', '2', '53'));
      await echo.says(/^listening/m);
      for (const program of [lab.onHost(echoed(lab, '127.0.0.1')), lab.inNet(echoed(lab, PLACES.host[4]))]) {
        const { status, stdout, stderr } = await program.ended;
        assert.equal(status, 0, `${stdout}${stderr}`);
      }
    });
  });

  it('are of one family where one was asked for, inside as well', async () => {
    await withPasta(lab, ['-6', '-t', 'none', '-u', 'none', '-T', '7006'], async (container) => {
      const server = lab.onHost(lab.nodeProgram('client', 'serve-tcp', '1', '7006'));
      await server.says(/^listening/m);
      const refused = lab.nodeProgram('client', 'connect', '127.0.0.1', '7006');
      assert.equal(report(await container.run(refused))['outcome'], 'ECONNREFUSED');
      assert.equal(report(await container.run(exchange(lab, '::1', '7006')))['answer'], 'hello');
      await server.ended;
    });
  });

  it('need no interface with --splice-only', async () => {
    await withPasta(lab, ['--splice-only', '-t', '8080:80', '-u', 'none', '-T', '7003'], async (container) => {
      assert.match((await container.run(['ip', '-o', 'link'])).stdout, /^1: lo: <LOOPBACK,UP,.*\n$/);
      const inside = container.spawn(lab.nodeProgram('client', 'serve-tcp', '1', '80'));
      await inside.says(/^listening/m);
      assert.equal(report(await lab.onHost(exchange(lab, '127.0.0.1', '8080')).ended)['answer'], 'hello');
      assert.deepEqual(await callersOf(inside), ['127.0.0.1']);
      const outside = lab.onHost(lab.nodeProgram('client', 'serve-tcp', '1', '7003'));
      await outside.says(/^listening/m);
      assert.equal(report(await container.run(exchange(lab, '127.0.0.1', '7003')))['answer'], 'hello');
      assert.deepEqual(await callersOf(outside), ['127.0.0.1']);
    });
    const words = ['pasta', '-q', '--splice-only', '-t', 'none', '-u', 'none', '--', 'ip', '-o', 'link'];
    assert.match((await lab.start(words).ended).stdout, /^1: lo: <LOOPBACK,UP,.*\n$/);
  });

  it('come and go by the socket of --conf-path, which goes with the session', async () => {
    const path = lab.newPath('control');
    const ctl = async (...words: string[]): Promise<string> => {
      const { status, stdout, stderr } = await lab.start(['ctl', '--socket', path, 'forward', ...words]).ended;
      return status === 0 ? stdout : stderr;
    };
    const none = ['-t', 'none', '-u', 'none', '-T', 'none', '-U', 'none'];
    await withPasta(lab, [...none, '-c', path, '--host-lo-to-ns-lo'], async (container) => {
      assert.equal(await ctl('show'), 'no forwarded ports\n');
      await ctl('add', 'host', '7005:7004');
      const outside = lab.onHost(lab.nodeProgram('client', 'serve-tcp', '1', '7004'));
      await outside.says(/^listening/m);
      assert.equal(report(await container.run(exchange(lab, '127.0.0.1', '7005')))['answer'], 'hello');
      await outside.ended;
      assert.match(await ctl('show'), /^host +7005:7004\/tcp$/m);
      await ctl('del', 'host', '7005:7004');
      await ctl('add', 'guest', '8080:80');
      assert.match(await ctl('show'), /^guest +8080:80\/tcp$/m);
      const server = container.spawn(lab.nodeProgram('client', 'serve-tcp', '1', '80'));
      await server.says(/^listening/m);
      assert.equal(report(await lab.onHost(exchange(lab, '127.0.0.1', '8080')).ended)['answer'], 'hello');
      assert.deepEqual(await callersOf(server), ['127.0.0.1']);
      const taken = lab.onHost(lab.nodeProgram('client', 'serve-tcp', '1', '7004'));
      await taken.says(/^listening/m);
      assert.match(await ctl('add', 'guest', '7004'), /port 7004|:7004\/tcp of the host: another program has it/);
      taken.kill('SIGKILL');
      await ctl('del', 'guest', '8080:80');
      const connecting = lab.nodeProgram('client', 'connect', '127.0.0.1', '8080');
      assert.equal(report(await lab.onHost(connecting).ended)['outcome'], 'ECONNREFUSED');
    });
    await eventually('the socket is gone', () => !existsSync(path));
  });

  it('that are taken are named, with exit status 1', async () => {
    const container = await Container.start(lab);
    const server = lab.onHost(lab.nodeProgram('client', 'serve-tcp', '1', '7004'));
    await server.says(/^listening/m);
    const { status, stderr } = await lab.start(['pasta', '--config-net', '-t', '7003-7005', String(container.pid)])
      .ended;
    assert.equal(status, 1);
    assert.match(
      stderr,
      /^pasta: error: can't forward \[::\]:7004\/tcp of the host: another program has it; choose another port\n$/,
    );
    server.kill('SIGKILL');
    await container.end();
  });
});

function echoed(lab: Lab, address: string): readonly string[] {
  return lab.nodeProgram('client', 'udp-echo', address, '5300', '1');
}
