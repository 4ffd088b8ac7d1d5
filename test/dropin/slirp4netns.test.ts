/** `tapster slirp4netns` in place of slirp4netns, as its callers start it: descriptors that say when, the plan of its network, and forwards by its socket. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { it } from 'node:test';
import { PLACES } from '../support/netns/internet.ts';
import { inLab, type Lab, report } from '../support/netns/lab.ts';
import { eventually, type Program } from '../support/netns/process.ts';
import { lacking } from '../support/netns/programs.ts';
import { Container } from './container.ts';

/** What a program's standard output says when it is told to be ready there: nothing else, ever. */
const READY = /^1$/;
const GATEWAY = '10.0.2.2';

/** Started and ready, with its standard input as the descriptor that ends it. */
async function start(lab: Lab, words: readonly string[]): Promise<Program> {
  const program = lab.start(['slirp4netns', '-r', '1', '-e', '0', ...words], { keepInput: true });
  await program.says(READY);
  return program;
}

async function end(program: Program): Promise<void> {
  program.endInput();
  const { status, stdout, stderr } = await program.ended;
  assert.deepEqual([status, stdout, stderr.match(/error|warning/g)], [0, '1', null], stderr);
}

/** One request, and what it is answered. */
async function ask(path: string, request: object | string): Promise<Record<string, unknown>> {
  const socket = connect({ path, allowHalfOpen: true });
  socket.end(typeof request === 'string' ? request : JSON.stringify(request));
  let text = '';
  for await (const chunk of socket) text += (chunk as Buffer).toString();
  return JSON.parse(text) as Record<string, unknown>;
}

inLab('slirp4netns', (lab) => {
  it('gives a namespace its plan, and goes with what ends it', async () => {
    const container = await Container.start(lab);
    const program = await start(lab, ['-c', '--mtu=65520', String(container.pid), 'tap0']);
    const address = (await container.run(['ip', 'address', 'show', 'tap0'])).stdout;
    assert.match(address, /mtu 65520[\s\S]*inet 10\.0\.2\.100\/24 brd 10\.0\.2\.255/);
    assert.match((await container.run(['ip', 'route'])).stdout, /^default via 10\.0\.2\.2 dev tap0/m);
    const server = lab.nodeProgram('client', 'connect', PLACES.server[4], '7');
    assert.equal(report(await container.run(server))['outcome'], 'connected');
    await end(program);
    assert.equal((await container.run(['ip', 'link', 'show', 'tap0'])).status, 1);
    await container.end();
  });

  it('has other networks, another MAC address, IPv6, and is found by path', async () => {
    const container = await Container.start(lab);
    const own = ['--cidr', '10.7.0.0/16', '--macaddress', '2:0:0:0:0:9', '--enable-ipv6', '--netns-type=path'];
    const user = lab.user === 'root' ? [] : ['--userns-path', `/proc/${container.pid}/ns/user`];
    const program = await start(lab, ['-c', ...own, ...user, container.path, 'net0']);
    const { stdout } = await container.run(['ip', 'address', 'show', 'net0']);
    assert.match(stdout, /02:00:00:00:00:09[\s\S]*inet 10\.7\.0\.100\/16 [\s\S]*inet6 fd00::100\/64/);
    for (const server of [PLACES.server[4], PLACES.server[6]]) {
      const words = lab.nodeProgram('client', 'connect', server, '7');
      assert.equal(report(await container.run(words))['outcome'], 'connected');
    }
    await end(program);
    await container.end();
  });

  it("has the host's loopback at the gateway, unless that is not wanted", async () => {
    const container = await Container.start(lab);
    const server = lab.onHost(lab.nodeProgram('client', 'serve-tcp', '1', '7001'));
    await server.says(/^listening/m);
    const words = lab.nodeProgram('client', 'exchange', GATEWAY, '7001', 'hello');
    const closed = await start(lab, ['-c', '--disable-host-loopback', String(container.pid), 'tap0']);
    const outcome = await container.run(lab.nodeProgram('client', 'connect', GATEWAY, '7001'));
    assert.equal(report(outcome)['outcome'], 'ECONNREFUSED');
    await end(closed);
    const open = await start(lab, ['-c', String(container.pid), 'tap0']);
    assert.equal(report(await container.run(words))['answer'], 'hello');
    assert.deepEqual(report(await server.ended), { callers: ['127.0.0.1'] });
    await end(open);
    await container.end();
  });

  it('answers for names at its third address', { skip: lacking('dig') }, async () => {
    const container = await Container.start(lab);
    const program = await start(lab, ['-c', String(container.pid), 'tap0']);
    const asked = await container.run(['dig', '+short', '+timeout=30', '+tries=1', '@10.0.2.3', 'www.test', 'A']);
    assert.equal(asked.stdout, `${PLACES.server[4]}\n`);
    await end(program);
    await container.end();
  });

  it('forwards ports on request, lists them, and forwards them no more', async () => {
    const container = await Container.start(lab);
    const path = lab.newPath('api');
    const program = await start(lab, ['-c', '--api-socket', path, String(container.pid), 'tap0']);
    const add = { execute: 'add_hostfwd', arguments: { proto: 'tcp', host_port: 8080, guest_port: 80 } };
    assert.deepEqual(await ask(path, add), { return: { id: 1 } });
    const server = container.spawn(lab.nodeProgram('client', 'serve-tcp', '2', '80'));
    await server.says(/^listening/m);
    const words = (address: string): readonly string[] =>
      lab.nodeProgram('client', 'exchange', address, '8080', 'hello');
    assert.equal(report(await lab.inNet(words(PLACES.host[4])).ended)['answer'], 'hello');
    assert.equal(report(await lab.onHost(words('127.0.0.1')).ended)['answer'], 'hello');
    assert.deepEqual(report(await server.ended), { callers: [PLACES.gateway[4], GATEWAY] });
    const entry = { proto: 'tcp', host_addr: '0.0.0.0', host_port: 8080, guest_addr: '10.0.2.100', guest_port: 80 };
    const entries = [{ id: 1, ...entry }];
    assert.deepEqual(await ask(path, { execute: 'list_hostfwd' }), { return: { entries }, entries });
    const { error } = (await ask(path, add)) as { error: { desc: string } };
    assert.match(
      error.desc,
      /^bad request: add_hostfwd: can't forward 0\.0\.0\.0:8080\/tcp of the host: another program/,
    );
    const remove = { execute: 'remove_hostfwd', arguments: { id: 1 } };
    assert.deepEqual(await ask(path, remove), { return: {} });
    assert.deepEqual(await ask(path, remove), {
      error: { desc: 'bad request: remove_hostfwd: there is no forward 1' },
    });
    const connecting = lab.nodeProgram('client', 'connect', '127.0.0.1', '8080');
    assert.equal(report(await lab.onHost(connecting).ended)['outcome'], 'ECONNREFUSED');
    await end(program);
    await eventually('the socket is gone', () => !existsSync(path));
    await container.end();
  });

  it('forwards datagrams, and leads to other addresses of the namespace', async () => {
    const container = await Container.start(lab);
    const path = lab.newPath('api');
    const program = await start(lab, ['-c', '-a', path, String(container.pid), 'tap0']);
    await container.run(['ip', 'address', 'add', '10.0.2.101/24', 'dev', 'tap0']);
    const from = { host_addr: '127.0.0.1', host_port: 5300, guest_port: 53 };
    const udp = { execute: 'add_hostfwd', arguments: { proto: 'udp', ...from } };
    assert.deepEqual(await ask(path, udp), { return: { id: 1 } });
    const echo = container.spawn(lab.nodeProgram('client', 'serve-udp', '1', '53'));
    await echo.says(/^listening/m);
    const words = lab.nodeProgram('client', 'udp-echo', '127.0.0.1', '5300', '700');
    assert.deepEqual(report(await lab.onHost(words).ended), { echoed: true });
    assert.deepEqual(report(await echo.ended), { callers: [GATEWAY] });
    const tcp = { execute: 'add_hostfwd', arguments: { proto: 'tcp', guest_addr: '10.0.2.101', ...from } };
    assert.deepEqual(await ask(path, tcp), { return: { id: 2 } });
    const server = container.spawn(lab.nodeProgram('client', 'serve-tcp', '1', '53'));
    await server.says(/^listening/m);
    const called = lab.nodeProgram('client', 'exchange', '127.0.0.1', '5300', 'hello');
    assert.equal(report(await lab.onHost(called).ended)['answer'], 'hello');
    await end(program);
    await container.end();
  });

  it('survives clients of its socket that say nonsense, too much, or nothing', async () => {
    const container = await Container.start(lab);
    const path = lab.newPath('api');
    const program = await start(lab, ['-c', '-a', path, String(container.pid), 'tap0']);
    for (const nonsense of ['', '{', '[]', '{"execute":"quit"}', 'x'.repeat(100_000)]) {
      const { error } = (await ask(path, nonsense)) as { error: { desc: string } };
      assert.match(error.desc, /^bad request: /);
    }
    const silent = connect({ path });
    silent.on('error', () => {});
    assert.deepEqual(await ask(path, { execute: 'list_hostfwd' }), { return: { entries: [] }, entries: [] });
    silent.destroy();
    await end(program);
    await container.end();
  });

  it('says what is wrong, and is never ready then', async () => {
    const refusals: readonly (readonly [readonly string[], RegExp])[] = [
      [['-r', '1', '999999', 'tap0'], /there is no (such )?process|is no network namespace/],
      [['-r', '77', '1', 'tap0'], /--ready-fd 77: there is no such descriptor/],
      [['--target-type=bess', '/tmp/bess'], /--target-type bess/],
      [['--netns-type=tapfd', '3'], /--netns-type tapfd/],
    ];
    for (const [words, expected] of refusals) {
      const { status, stdout, stderr } = await lab.start(['slirp4netns', ...words]).ended;
      assert.deepEqual([status, stdout], [1, ''], words.join(' '));
      assert.match(stderr, expected);
    }
  });

  it('without -c leaves its interface to a DHCP client inside', { skip: lacking('udhcpc') }, async () => {
    const container = await Container.start(lab);
    const program = await start(lab, [String(container.pid), 'tap0']);
    await container.run(['ip', 'link', 'set', 'tap0', 'up']);
    const { stdout, stderr } = await container.run(['udhcpc', '-i', 'tap0', '-f', '-n', '-q', '-s', '/bin/true']);
    assert.match(`${stdout}${stderr}`, /lease of 10\.0\.2\.15 obtained from 10\.0\.2\.2/);
    await end(program);
    await container.end();
  });
});
