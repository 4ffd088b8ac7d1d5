/** `tapster passt` in place of passt, with a machine that can nothing but ask who has an address (RFC 826). */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { it } from 'node:test';
import { inLab } from '../support/netns/lab.ts';
import { eventually } from '../support/netns/process.ts';
import { USER_ID } from '../support/netns/user.ts';
import { Daemons, isAlive } from './daemon.ts';

const MACHINE = '020000000009';
const PASST = '9a559a559a55';
const GATEWAY = '0a630001';

inLab('passt', (lab) => {
  const daemons = new Daemons(lab);

  it('goes to the background, serves one machine after the other, and takes its socket along when it is ended', async () => {
    const path = lab.newPath('socket');
    const pid = await daemons.start(['passt', '-q', '-s', path]);
    assert.equal(statSync(path).uid, USER_ID, 'root is nobody by then');
    const first = await plugIn(path);
    assert.equal(await whoHas(first, GATEWAY), PASST);
    first.destroy();
    // Until the first one's end has been noticed, a second one is sent away.
    let answer: string | undefined;
    while (answer === undefined) {
      const second = await plugIn(path);
      answer = await whoHas(second, GATEWAY).catch(() => undefined);
      second.destroy();
    }
    assert.equal(answer, PASST);
    process.kill(pid, 'SIGTERM');
    await eventually('the daemon has ended', () => !isAlive(pid));
    await eventually('the socket is gone', () => !existsSync(path));
  });

  it('ends with its machine where that was asked for', async () => {
    const path = lab.newPath('socket');
    const pid = await daemons.start(['passt', '-q', '-1', '-M', '02:00:00:00:00:01', '-s', path]);
    const machine = await plugIn(path);
    assert.equal(await whoHas(machine, GATEWAY), '020000000001');
    machine.destroy();
    await eventually('the daemon has ended', () => !isAlive(pid));
  });

  it('takes what libvirt says, and its log and PID file are there', async () => {
    const path = lab.newPath('socket');
    const log = lab.newPath('log');
    const address = ['--interface', 'eth0', '--address', '10.99.0.9', '--netmask', '24', '--gateway', '10.99.0.1'];
    const ports = ['--tcp-ports', '10.99.0.2%eth0/2022:22,8000-8010,~8005', '--udp-ports', '10.99.0.2/5353'];
    const words = [
      '--one-off',
      '--socket',
      path,
      '--mac-addr',
      '52:54:00:00:00:01',
      ...address,
      '--log-file',
      log,
      ...ports,
    ];
    const pid = await daemons.start(['passt', ...words]);
    const machine = await plugIn(path);
    assert.equal(await whoHas(machine, GATEWAY), '525400000001');
    machine.destroy();
    await eventually('the daemon has ended', () => !isAlive(pid));
    assert.match(readFileSync(log, 'utf8'), / info: .* is plugged in\n.* info: the guest has gone\n$/s);
  });

  it('leads ports to an address of the machine from which it has never spoken', async () => {
    const path = lab.newPath('socket');
    const pid = await daemons.start(['passt', '-q', '-1', '-s', path, '-t', '2022:10.99.0.77/22']);
    const machine = await plugIn(path);
    assert.equal(await whoHas(machine, GATEWAY), PASST);
    const caller = lab.onHost(lab.nodeProgram('client', 'connect', '127.0.0.1', '2022'));
    // IPv4 without options, TCP, to port 22.
    const isCall = (frame: string): boolean => frame.slice(24, 30) === '080045' && frame.slice(72, 76) === '0016';
    const call = await frameOf(machine, isCall);
    assert.deepEqual([call.slice(0, 12), call.slice(60, 68)], [MACHINE, '0a63004d']);
    machine.destroy();
    await caller.ended;
    await eventually('the daemon has ended', () => !isAlive(pid));
  });

  it('in the foreground it says where it listens, by default at the first free path of a series', async () => {
    const program = lab.start(['passt', '-f', '-1']);
    const listening = /^passt: listening at (\/tmp\/passt_\d+\.socket)$/m;
    await eventually('it listens', () => listening.test(program.stderr));
    const [, path = ''] = listening.exec(program.stderr)!;
    const machine = await plugIn(path);
    assert.equal(await whoHas(machine, GATEWAY), PASST);
    machine.destroy();
    assert.equal((await program.ended).status, 0);
  });

  it('a path that somebody listens at is told of', async () => {
    const path = lab.newPath('socket');
    const pid = await daemons.start(['passt', '-q', '-s', path]);
    const second = await lab.start(['passt', '-q', '-s', path]).ended;
    assert.deepEqual([second.status, second.stdout], [1, '']);
    assert.match(second.stderr, /^passt: error: somebody listens at .*socket already: choose another path/);
    process.kill(pid, 'SIGTERM');
    await eventually('the daemon has ended', () => !isAlive(pid));
  });

  it('a descriptor that is none is told of', async () => {
    const { status, stderr } = await lab.start(['passt', '-f', '-F', '99']).ended;
    assert.deepEqual([status, stderr], [1, 'passt: error: --fd 99 is no open descriptor: give a connected socket\n']);
  });

  it('says what kind of vhost-user backend it is', async () => {
    const { status, stdout } = await lab.start(['passt', '--print-capabilities']).ended;
    assert.deepEqual([status, JSON.parse(stdout)], [0, { type: 'net' }]);
  });
});

async function plugIn(path: string): Promise<Socket> {
  const socket = connect(path);
  await once(socket, 'connect');
  // Who is sent away learns it by reading.
  socket.on('error', () => {});
  return socket;
}

/** The MAC address that answers for an IPv4 address, as digits. Frames have their length in front. */
async function whoHas(machine: Socket, address: string): Promise<string> {
  const request = `ffffffffffff${MACHINE}08060001080006040001${MACHINE}0a630002000000000000${address}`;
  const frame = Buffer.from(request, 'hex');
  const length = Buffer.alloc(4);
  length.writeUInt32BE(frame.length);
  machine.write(Buffer.concat([length, frame]));
  // An ARP reply: its sender is behind the kind of addresses and the operation.
  const reply = await frameOf(machine, (answer) => answer.slice(24, 44) === '08060001080006040002');
  return reply.slice(44, 56);
}

/** The next frame for the machine that is meant, as digits; those before it are lost. */
async function frameOf(machine: Socket, isMeant: (frame: string) => boolean): Promise<string> {
  let received = Buffer.alloc(0);
  for await (const chunk of machine.iterator({ destroyOnReturn: false })) {
    received = Buffer.concat([received, chunk as Buffer]);
    for (let at = 0; at + 4 <= received.length; ) {
      const bytes = received.readUInt32BE(at);
      const answer = received.toString('hex', at + 4, at + 4 + bytes);
      if (isMeant(answer)) return answer;
      at += 4 + bytes;
    }
  }
  throw new Error('it did not come');
}
