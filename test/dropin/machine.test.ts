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
    it(`is configured, is called and calls ${title}, and takes passt along`, async () => {
      const path = lab.newPath('passt.socket');
      const pid = await daemons.start(['passt', '-q', '-1', '-t', '8081:80', '-s', path, ...options]);
      const words = [...qemuWords(image as Image), ...withoutVectors(qemu(path))];
      const vm = new Machine(lab.onHost(words, { timeoutMs: 0, keepInput: true }));
      await vm.booted();
      assert.match(await vm.run('/up'), new RegExp(`^lease ${PLACES.host[4]}/24 ${PLACES.gateway[4]} `, 'm'));
      // Called before it has asked for anybody by ARP: all that has been heard of it is its lease.
      await vm.run('mkdir /www && echo hello from the machine > /www/index.html && httpd -p 80 -h /www');
      assert.equal(await fetched(lab.onHost, 'http://127.0.0.1:8081/'), 'hello from the machine\n');
      assert.equal(await fetched(lab.inNet, `http://${PLACES.host[4]}:8081/`), 'hello from the machine\n');
      assert.match(await vm.run(`wget -q -O - http://${PLACES.server[4]}/`), /hello from the internet/);
      vm.program.kill('SIGKILL');
      await vm.program.ended;
      await eventually('passt has ended', () => !isAlive(pid));
    });
  }

  async function fetched(on: Lab['inNet'], url: string): Promise<string> {
    const { stdout, stderr } = await on.call(lab, ['curl', '-sS', url]).ended;
    return stdout || stderr;
  }
});
