/** `tapster guest --vhost-user`: a machine that Tapster starts, with memory that is shared added to its words, and one that stays while Tapster is killed and started again. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { PLACES, whyNoInternet } from '../support/netns/internet.ts';
import { Lab } from '../support/netns/lab.ts';
import { endAll, eventually, type Program } from '../support/netns/process.ts';
import { type Image, Machine, qemuWords, SHARED_MEMORY, vmImage, withoutVectors } from './machine.ts';

const why = whyNoInternet();
const image = why === undefined ? vmImage() : why;
const skip = typeof image === 'string' ? image : false;
const ENDLESS = { timeoutMs: 0, keepInput: true } as const;
const LEASE = new RegExp(`^lease ${PLACES.host[4]}/24`, 'm');

describe('a virtual machine behind vhost-user', { skip }, () => {
  const lab = new Lab('root', {});
  before(() => lab.up());
  after(async () => {
    await endAll();
    await lab.down();
  });

  it('is started by Tapster with memory that is shared, and ended with', async () => {
    const vectors = ['-global', 'virtio-net-pci.vectors=0'];
    const words = ['sh', '-c', '"$@"; exit 7', 'sh', ...qemuWords(image as Image), ...vectors];
    const tapster = ['guest', '--vhost-user', '--socket', lab.newPath('own.sock'), '-v'];
    const vm = new Machine(lab.start([...tapster, '--', ...words], ENDLESS));
    await vm.booted();
    await vm.program.says(/is plugged in/);
    assert.match(await vm.run('/up'), LEASE);
    assert.match(await vm.run(`ping -c 2 ${PLACES.server[4]}`), /2 packets received/);
    vm.begin('poweroff -f');
    assert.equal((await vm.program.ended).status, 7);
  });

  it('goes on when Tapster is killed and started again, and is called before it speaks', async () => {
    const path = lab.newPath('again.sock');
    const serve = async (): Promise<{ served: Program; words: readonly string[] }> => {
      const served = lab.start(['guest', '--vhost-user', '--socket', path, '-p', '8081:80', '-v'], { timeoutMs: 0 });
      const [, line] = await served.says(/ (-chardev .*)$/m);
      return { served, words: withoutVectors(line!.split(' ')) };
    };
    const first = await serve();
    const vm = new Machine(lab.onHost([...qemuWords(image as Image), ...SHARED_MEMORY, ...first.words], ENDLESS));
    await vm.booted();
    assert.match(await vm.run('/up'), LEASE);
    await vm.run('mkdir /www && echo hello from the machine > /www/index.html && httpd -p 80 -h /www');
    first.served.kill('SIGKILL');
    await first.served.ended;
    await eventually('the path of one that was killed goes', () => !existsSync(path));
    const { served } = await serve();
    await served.says(/is plugged in/);
    const called = await lab.onHost(['curl', '-sS', 'http://127.0.0.1:8081/']).ended;
    assert.equal(called.stdout, 'hello from the machine\n', called.stderr);
    assert.match(await vm.run(`ping -c 3 ${PLACES.server[4]}`), /[123] packets received/);
    await vm.powerOff();
    await served.says(/the guest has gone/);
  });
});
