/** A machine in QEMU behind `tapster passt`, started as scripts for passt do. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { PLACES, whyNoInternet } from '../support/netns/internet.ts';
import { Lab } from '../support/netns/lab.ts';
import { eventually } from '../support/netns/process.ts';
import { type Image, Machine, qemuWords, SHARED_MEMORY, vmImage, withoutVectors } from '../vm/machine.ts';
import { Daemons, isAlive } from './daemon.ts';

const why = whyNoInternet();
const image = why === undefined ? vmImage() : why;
const skip = typeof image === 'string' ? image : false;

const WAYS: readonly (readonly [
  title: string,
  options: readonly string[],
  qemu: (path: string) => readonly string[],
])[] = [
  [
    'by a stream',
    [],
    (path) => [
      '-device',
      'virtio-net-pci,netdev=s',
      '-netdev',
      `stream,id=s,server=off,addr.type=unix,addr.path=${path}`,
    ],
  ],
  [
    'by vhost-user',
    ['--vhost-user'],
    (path) => [
      ...SHARED_MEMORY,
      ...['-chardev', `socket,id=chr0,path=${path}`, '-netdev', 'vhost-user,id=netdev0,chardev=chr0'],
      ...['-device', 'virtio-net-pci,netdev=netdev0'],
    ],
  ],
];

describe('a virtual machine behind tapster passt', { skip }, () => {
  const lab = new Lab('user', {});
  before(() => lab.up());
  after(() => lab.down());
  const daemons = new Daemons(lab);

  for (const [title, options, qemu] of WAYS) {
    it(`is configured, calls and is called ${title}, and takes passt along`, async () => {
      const path = lab.newPath('passt.socket');
      const pid = await daemons.start(['passt', '-q', '-1', '-t', '8081:80', '-s', path, ...options]);
      const words = [...qemuWords(image as Image), ...withoutVectors(qemu(path))];
      const vm = new Machine(lab.onHost(words, { timeoutMs: 0, keepInput: true }));
      await vm.booted();
      assert.match(await vm.run('/up'), new RegExp(`^lease ${PLACES.host[4]}/24 ${PLACES.gateway[4]} `, 'm'));
      assert.match(await vm.run(`wget -q -O - http://${PLACES.server[4]}/`), /hello from the internet/);
      vm.begin('while true; do echo hello | nc -l -p 80 > /dev/null; done &');
      await eventually('the machine answers at its port', async () => {
        const { stdout } = await lab.inNet(lab.nodeProgram('client', 'exchange', PLACES.host[4], '8081', 'x')).ended;
        return stdout.includes('hello');
      });
      vm.program.kill('SIGKILL');
      await vm.program.ended;
      await eventually('passt has ended', () => !isAlive(pid));
    });
  }
});
