/** `tapster pasta` in place of pasta, as its callers start it: container engines, scripts, people with a command. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { before, it } from 'node:test';
import { FAMILIES, type Family, PLACES } from '../support/netns/internet.ts';
import { inLab, type Lab, report } from '../support/netns/lab.ts';
import { type Ended, eventually, execute } from '../support/netns/process.ts';
import { lacking } from '../support/netns/programs.ts';
import { environmentOf } from '../support/netns/user.ts';
import { Container } from './container.ts';
import { Daemons, isAlive } from './daemon.ts';

const NOBODY = '65534';
const NO_PORTS = ['-t', 'none', '-u', 'none', '-T', 'none', '-U', 'none'];

inLab('pasta, as podman starts it', (lab) => {
  const line = (container: Container): string[] =>
    [
      'pasta',
      '--config-net',
      '-t',
      '8080-8080:80-80',
      '--dns-forward',
      '169.254.1.1',
      '-u',
      'none',
      '-T',
      'none',
      '-U',
      'none',
    ].concat(['--no-map-gw', '--quiet', '--netns', container.path, '--map-guest-addr', '169.254.1.2']);

  /** What somebody on the internet gets at the published port. */
  const call = async (): Promise<unknown> => {
    const words = lab.nodeProgram('client', 'connect', PLACES.host[4], '8080');
    return report(await lab.inNet(words).ended)['outcome'];
  };

  const answers = async (container: Container): Promise<void> => {
    const server = container.spawn(lab.nodeProgram('client', 'serve-tcp', '1', '80'));
    await server.says(/^listening/m);
    const words = lab.nodeProgram('client', 'exchange', PLACES.host[4], '8080', 'hello');
    assert.equal(report(await lab.inNet(words).ended)['answer'], 'hello');
    assert.equal((await server.ended).status, 0);
  };

  // covers P3, P17, P19
  it('the container has names, the world, its host, and a published port; all ends with it, and begins again', async () => {
    for (const round of ['first', 'again']) {
      const container = await Container.start(lab);
      const started = await lab.start(line(container)).ended;
      assert.deepEqual([started.status, started.stdout, started.stderr], [0, '', ''], round);
      const addresses = (await container.run(['ip', '-br', 'address', 'show', 'eth0'])).stdout;
      assert.match(addresses, /10\.99\.0\.2\/24 .*fd99::2\/64/);
      assert.match((await container.run(['ip', 'route'])).stdout, /^default via 10\.99\.0\.1 dev eth0/m);
      for (const server of [PLACES.server[4], PLACES.server[6]]) {
        const words = lab.nodeProgram('client', 'connect', server, '7');
        assert.equal(report(await container.run(words))['outcome'], 'connected');
      }
      await answers(container);
      await container.end();
      await eventually('the port is free again', () => !listens(lab, 8080));
    }
    assert.equal(await call(), 'ECONNREFUSED');
  });

  it('names are asked for at the address of --dns-forward', { skip: lacking('dig') }, async () => {
    const container = await Container.start(lab);
    assert.equal((await lab.start(line(container)).ended).status, 0);
    const asked = await container.run(['dig', '+short', '+timeout=30', '+tries=1', '@169.254.1.1', 'www.test', 'A']);
    assert.equal(asked.stdout, `${PLACES.server[4]}\n`);
    await container.end();
  });

  it("the host is at the address of --map-guest-addr, and the gateway is not the host's loopback", async () => {
    const container = await Container.start(lab);
    assert.equal((await lab.start(line(container)).ended).status, 0);
    const server = lab.onHost(lab.nodeProgram('client', 'serve-tcp', '1', '8081'));
    await server.says(/^listening/m);
    const outside = await container.run(lab.nodeProgram('client', 'connect', PLACES.gateway[4], '8081'));
    assert.equal(report(outside)['outcome'], 'ECONNREFUSED');
    const words = lab.nodeProgram('client', 'exchange', '169.254.1.2', '8081', 'hello');
    assert.equal(report(await container.run(words))['answer'], 'hello');
    assert.deepEqual(report(await server.ended), { callers: [PLACES.host[4]] });
    await container.end();
  });

  it('a namespace that is not there is told of, and nothing stays', async () => {
    const container = await Container.start(lab);
    const words = line(container);
    await container.end();
    const { status, stderr } = await lab.start(words).ended;
    assert.equal(status, 1);
    assert.match(stderr, /^pasta: error: .*ns\/net is no network namespace: there is no such file\n$/);
    assert.equal(await call(), 'ECONNREFUSED');
  });
});

/** What a container engine does that has made itself root of a user namespace: $1 and $2 are how to start Tapster, $3 the namespace's path, $4 the PID file. */
const ENGINE = `
set -e
touch "$3"
unshare --net mount --bind /proc/self/ns/net "$3"
"$1" "$2" pasta --config-net ${NO_PORTS.join(' ')} --quiet --netns "$3" -P "$4"
nsenter --net="$3" ip -br address show eth0
umount "$3"
rm "$3"
`;

inLab('pasta in a user namespace, as a rootless container engine starts it', (lab) => {
  it('stays root of it, joins by path, holds no path busy, and ends when that has gone', async () => {
    const pidPath = lab.newPath('pid');
    const [node = '', script = ''] = lab.tapster().slice(-2);
    const enter = ['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c', ENGINE, 'sh'];
    const words = [...lab.asUserOnHost(), ...enter, node, script, lab.newPath('netns'), pidPath];
    const { status, stdout, stderr } = await execute(words, { env: environmentOf(lab.user) });
    assert.deepEqual([status, stderr], [0, '']);
    assert.match(stdout, /^eth0 +UNKNOWN +10\.99\.0\.2\/24 /);
    const pid = Number(readFileSync(pidPath, 'utf8'));
    await eventually('the daemon has ended', () => !isAlive(pid));
  });
});

inLab('pasta, as scripts start it', (lab) => {
  const daemons = new Daemons(lab);
  const start = (container: Container, ...options: string[]): Promise<number> =>
    daemons.start(['pasta', ...options], [String(container.pid)]);

  it('kill ends it and takes the interface along; it can be started again', async () => {
    const container = await Container.start(lab);
    for (const _ of ['first', 'again']) {
      const pid = await start(
        container,
        ...NO_PORTS,
        '--config-net',
        '-I',
        'net0',
        '--ns-mac-addr',
        '02:00:00:00:00:07',
      );
      const link = (await container.run(['ip', '-o', 'link', 'show', 'net0'])).stdout;
      assert.match(link, /LOWER_UP.*mtu 65520.*02:00:00:00:00:07/);
      process.kill(pid, 'SIGTERM');
      await eventually('the daemon has ended', () => !isAlive(pid));
      assert.equal((await container.run(['ip', 'link', 'show', 'net0'])).status, 1);
    }
    await container.end();
  });

  it('without --config-net the interface is there, down and without addresses', async () => {
    const container = await Container.start(lab);
    const pid = await start(container, ...NO_PORTS);
    assert.match((await container.run(['ip', '-br', 'address', 'show', 'eth0'])).stdout, /^eth0 +DOWN *\n$/);
    await container.end();
    await eventually('the daemon has ended', () => !isAlive(pid));
  });

  it('the log file keeps the youngest lines within its size', async () => {
    const container = await Container.start(lab);
    const log = lab.newPath('log');
    writeFileSync(log, 'an old line\n'.repeat(10_000));
    chmodSync(log, 0o666);
    const pid = await start(container, ...NO_PORTS, '--config-net', '-d', '-l', log, '--log-size', '65536');
    await container.run(lab.nodeProgram('client', 'connect', PLACES.server[4], '7'));
    await eventually('the flow is told of', () =>
      / debug: #\d+ close .*198\.51\.100\.1:7/.test(readFileSync(log, 'latin1')),
    );
    assert.ok(statSync(log).size <= 65_536);
    await container.end();
    await eventually('the daemon has ended', () => !isAlive(pid));
    assert.match(readFileSync(log, 'utf8'), / info: \/proc\/\d+\/ns\/net has gone\n$/);
  });

  it('tells of each frame with --trace, and with --stats of what there was', async () => {
    const container = await Container.start(lab);
    const program = lab.start([
      'pasta',
      '-f',
      '--trace',
      '--stats',
      '1',
      ...NO_PORTS,
      '--config-net',
      String(container.pid),
    ]);
    const said = (expression: RegExp): Promise<void> =>
      eventually(`it says ${expression}`, () => expression.test(program.stderr));
    // What the interface's own kernel sends when it comes up.
    await said(/^pasta: > IP6 /m);
    await container.run(lab.nodeProgram('client', 'connect', PLACES.server[4], '7'));
    await said(/^pasta: > IP 10\.99\.0\.2\.\d+ > 198\.51\.100\.1\.7: TCP SYN /m);
    await said(/^pasta: < IP 198\.51\.100\.1\.7 > 10\.99\.0\.2\.\d+: TCP SYN\b.*ACK/im);
    await said(/^pasta: \d+ flows; from the guest \d+ frames of \d+ bytes, to it \d+ of \d+$/m);
    await container.end();
    assert.equal((await program.ended).status, 0);
  });

  it('root becomes nobody, and the rights over the network are given up', async (t) => {
    if (lab.user !== 'root') return t.skip('an ordinary user stays who it is');
    const container = await Container.start(lab);
    const pid = await start(container, ...NO_PORTS);
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    assert.match(status, new RegExp(`^Uid:\\s+${NOBODY}\\s+${NOBODY}\\s+${NOBODY}`, 'm'));
    assert.match(status, /^Groups:\s+65534 *$/m);
    assert.match(status, /^CapPrm:\s+0+$/m);
    assert.match(status, /^NoNewPrivs:\s+1$/m);
    process.kill(pid, 'SIGTERM');
    await eventually('the daemon has ended', () => !isAlive(pid));
    await container.end();
  });

  it('in the foreground it says what happens, and SIGTERM is a good end', async () => {
    const container = await Container.start(lab);
    const pidPath = lab.newPath('pid');
    const program = lab.start(['pasta', '-f', ...NO_PORTS, '-P', pidPath, '--netns', container.path]);
    await eventually('it is ready', () => existsSync(pidPath) && readFileSync(pidPath, 'utf8').endsWith('\n'));
    assert.equal(Number(readFileSync(pidPath, 'utf8')), program.pid);
    program.kill('SIGTERM');
    assert.equal((await program.ended).status, 0);
    await container.end();
  });

  it('it ends when somebody deletes the interface', async () => {
    const container = await Container.start(lab);
    const pid = await start(container, ...NO_PORTS, '--config-net');
    assert.equal((await container.run(['ip', 'link', 'delete', 'eth0'])).status, 0);
    await eventually('the daemon has ended', () => !isAlive(pid));
    await container.end();
  });

  it('a user namespace can be named, and --no-netns-quit goes on without the namespace', async () => {
    const container = await Container.start(lab);
    const user = `/proc/${container.pid}/ns/user`;
    const words = ['--userns', user, '--netns', container.path, '--no-netns-quit'];
    const pid = await daemons.start(['pasta', ...NO_PORTS, ...words]);
    await container.end();
    assert.ok(isAlive(pid));
    process.kill(pid, 'SIGTERM');
    await eventually('the daemon has ended', () => !isAlive(pid));
  });

  it('a PID file or a log file that can not be written is told of before anything is made', async () => {
    const container = await Container.start(lab);
    for (const option of ['-P', '-l']) {
      const { status, stderr } = await lab.start(['pasta', ...NO_PORTS, option, '/nowhere/file', String(container.pid)])
        .ended;
      assert.equal(status, 1);
      assert.match(stderr, /^pasta: .*file \/nowhere\/file can't be (written|opened): ENOENT\n$/);
    }
    assert.equal((await container.run(['ip', 'link', 'show', 'eth0'])).status, 1);
    await container.end();
  });
});

inLab('pasta on a host with several addresses', (lab) => {
  const OTHER = { 4: '10.99.0.77', 6: 'fd99::77' } as const;

  /** Under which address somebody on the internet sees the container, which calls over TCP or UDP. */
  const seen = async (options: readonly string[], verb: 'tcp' | 'udp', family: Family): Promise<unknown> => {
    const container = await Container.start(lab);
    const started = await lab.start([
      'pasta',
      '--config-net',
      '--no-map-gw',
      ...NO_PORTS,
      ...options,
      String(container.pid),
    ]).ended;
    assert.equal(started.status, 0, started.stderr);
    const server = lab.inNet(lab.nodeProgram('client', `serve-${verb}`, '1', '8090'));
    await server.says(/^listening/m);
    const call =
      verb === 'tcp'
        ? ['exchange', PLACES.gateway[family], '8090', 'x']
        : ['udp-echo', PLACES.gateway[family], '8090', '9'];
    await container.run(lab.nodeProgram('client', ...call));
    const { callers } = report<{ callers: unknown[] }>(await server.ended);
    await container.end();
    return callers[0];
  };

  before(() => {
    for (const address of [`${OTHER[4]}/24`, `${OTHER[6]}/64`]) {
      spawnSync('ip', ['-n', lab.internet.host, 'address', 'add', address, 'dev', 'eth0', 'nodad']);
    }
  });

  for (const family of FAMILIES) {
    it(`it calls from the address of --outbound, over IPv${family}`, async () => {
      for (const verb of ['tcp', 'udp'] as const) {
        assert.equal(await seen(['-o', OTHER[family]], verb, family), OTHER[family]);
      }
    });
  }

  it('it calls by the interface of --outbound-if4, and one that is not there is told of', async () => {
    for (const verb of ['tcp', 'udp'] as const) {
      assert.equal(await seen(['--outbound-if4', 'eth0'], verb, 4), PLACES.host[4]);
    }
    const none = await lab.start(['pasta', '-q', '--outbound-if4', 'nosuch0', '--', 'true']).ended;
    assert.equal(none.status, 1);
    assert.match(none.stderr, /^pasta: error: sockets can not leave by nosuch0: there is no such interface\n/);
  });
});

inLab(
  'pasta on a host without IPv6',
  (lab) => {
    it('the namespace has none either, and all else works', async () => {
      const command = ['sh', '-c', `ip -br address show eth0; ${lab.clientText('connect', PLACES.server[4], '7')}`];
      const { stdout, stderr } = await lab.start(['pasta', '-q', '--config-net', ...NO_PORTS, '--', ...command]).ended;
      assert.match(stdout, /^eth0 +UNKNOWN +10\.99\.0\.2\/24 *\n.*"connected"/, stderr);
    });
  },
  { ipv6: false },
);

inLab(
  'pasta on a host without a way to anywhere',
  (lab) => {
    it('the host itself is at the other end of the link', async () => {
      const server = lab.onHost(lab.nodeProgram('client', 'serve-tcp', '1', '8081'));
      await server.says(/^listening/m);
      const command = [
        'sh',
        '-c',
        `ip -br -4 address show tap0; ${lab.clientText('exchange', '169.254.2.2', '8081', 'x')}`,
      ];
      const { stdout, stderr } = await lab.start(['pasta', '-q', '--config-net', ...NO_PORTS, '--', ...command]).ended;
      assert.match(stdout, /^tap0 +UNKNOWN +169\.254\.2\.1\/16 *\n.*"answer":"x"/, stderr);
      assert.deepEqual(report(await server.ended), { callers: ['127.0.0.1'] });
    });
  },
  { defaultRoute: false },
);

inLab('pasta with a command', (lab) => {
  const run = (options: readonly string[], shell: string): Promise<Ended> =>
    lab.start(['pasta', ...NO_PORTS, ...options, '--', 'sh', '-c', shell]).ended;

  it('the command is root inside, has a network, and gives the exit status', async () => {
    const { status, stdout, stderr } = await run(['--config-net', '-q'], 'id -u; ip -br address show eth0; exit 7');
    assert.deepEqual([status, stderr], [7, '']);
    assert.match(stdout, /^0\neth0 +UNKNOWN +10\.99\.0\.2\/24 /);
  });

  it("the gateway is the host's loopback, unless that was refused", async () => {
    const server = lab.onHost(lab.nodeProgram('client', 'serve-tcp', '1', '8081'));
    await server.says(/^listening/m);
    const connect = lab.clientText('exchange', PLACES.gateway[4], '8081', 'hello');
    assert.equal(report(await run(['--config-net', '-q'], connect))['answer'], 'hello');
    assert.deepEqual(report(await server.ended), { callers: ['127.0.0.1'] });
  });

  it('what is not there is told of, with status 1', async () => {
    const none = await lab.start(['pasta', '-q', 'no-such-program']).ended;
    assert.equal(none.status, 1);
    assert.match(none.stderr, /^pasta: error: "no-such-program" was not found/);
    const unknown = await lab.start(['pasta', '--no-such-option']).ended;
    assert.equal(unknown.status, 1);
    assert.match(unknown.stderr, /^pasta: unrecognized option '--no-such-option'\n/);
    const missing = await lab.start(['passt', '--repair-path', '/tmp/socket']).ended;
    assert.equal(missing.status, 1);
    assert.match(missing.stderr, /^passt: --repair-path \/tmp\/socket: .*; use --repair-path none\n$/);
  });

  it('is found in PATH, in a folder that was filled for that', async () => {
    const folder = lab.newPath('shims');
    const [node = '', script = ''] = lab.tapster().slice(-2);
    const line = '"$1" "$2" shims "$3" && PATH="$3:$PATH" && pasta -q -- sh -c "exit 7"';
    const ran = await execute([...lab.asUserOnHost(), 'sh', '-c', line, 'sh', node, script, folder], {
      env: environmentOf(lab.user),
    });
    assert.deepEqual([ran.status, ran.stderr], [7, '']);
    assert.equal(ran.stdout, ['pasta', 'passt', 'slirp4netns'].map((name) => `${folder}/${name}\n`).join(''));
  });

  it('the version is the first line, and help is for the standard output', async () => {
    assert.match((await lab.start(['pasta', '--version']).ended).stdout, /^pasta \d+\.\d+\.\d+ \(Tapster\)\n/);
    const help = await lab.start(['passt', '--help']).ended;
    assert.deepEqual([help.status, help.stderr], [0, '']);
    assert.match(help.stdout, /^Usage: passt /);
  });
});

/** Whether somebody listens at a TCP port of the lab's host. */
function listens(lab: Lab, port: number): boolean {
  const [program = '', ...words] = lab.internet.in(lab.internet.host);
  const { stdout } = spawnSync(program, [...words, 'ss', '-Hltn', `sport = :${port}`], { encoding: 'utf8' });
  return stdout !== '';
}
