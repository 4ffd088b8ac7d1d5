/** `tapster guest --vhost-user` with a real machine in QEMU: that all bytes arrive through two pairs of queues, and what happens when it boots again or is killed. By one pair: `clients.test.ts`. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { PLACES, whyNoInternet } from '../support/netns/internet.ts';
import { Lab } from '../support/netns/lab.ts';
import { patternHash } from '../support/netns/pattern.ts';
import { endAll, type Program } from '../support/netns/process.ts';
import { type Image, Machine, qemuWords, SHARED_MEMORY, vmImage, withoutVectors } from './machine.ts';

const why = whyNoInternet();
const image = why === undefined ? vmImage() : why;
const skip = typeof image === 'string' ? image : false;
const ENDLESS = { timeoutMs: 0 } as const;
const BODY_BYTES = 8_000_000;

// covers P4
describe('a virtual machine behind vhost-user, with two pairs of queues', { skip }, () => {
  const lab = new Lab('user', {});
  let served: Program;
  let words: readonly string[];
  let vm: Machine;
  const machine = (): Machine =>
    new Machine(
      lab.onHost([...qemuWords(image as Image), ...SHARED_MEMORY, ...words], { ...ENDLESS, keepInput: true }),
    );
  before(async () => {
    await lab.up();
    const options = ['--vhost-user', '--queues', '2', '-v'];
    served = lab.start(['guest', '--socket', lab.newPath('vm.sock'), ...options], ENDLESS);
    const [, line] = await served.says(/ (-chardev .*)$/m);
    words = withoutVectors(line!.split(' '));
    vm = machine();
    await vm.booted();
  });
  after(async () => {
    await endAll();
    await lab.down();
  });

  const lease = new RegExp(`^lease ${PLACES.host[4]}/24`, 'm');

  it('has its address, and all bytes both ways', async () => {
    assert.match(await vm.run('/up'), lease);
    await vm.run('ip link set eth0 mtu 1500');
    const { 4: server } = PLACES.server;
    const received = await vm.run(`echo ${BODY_BYTES} | nc ${server} 19 | sha256sum`);
    assert.equal(received.split(' ')[0], patternHash(BODY_BYTES));
    // Large segments, though the machine negotiated them when everything else was there already.
    const frames = Number(await vm.run('cat /sys/class/net/eth0/statistics/rx_packets'));
    assert.ok(frames < BODY_BYTES / 1448 / 2, `${frames} frames`);
    await vm.run(`dd if=/dev/urandom of=/body bs=1000 count=${BODY_BYTES / 1000} 2>/dev/null`);
    const sum = (await vm.run('sha256sum /body')).split(' ')[0];
    const told = await vm.run(`(echo '{}'; cat /body) | nc ${server} 9`);
    assert.deepEqual(JSON.parse(told), { service: 'reader', bytes: BODY_BYTES, sha256: sum });
  });

  it('boots again', async () => {
    vm.begin('reboot -f');
    await vm.booted();
    assert.match(await vm.run('/up'), lease);
    assert.match(await vm.run(`ping -c 2 ${PLACES.server[4]}`), /2 packets received/);
  });

  it('is killed, and another takes its place', async () => {
    vm.program.kill('SIGKILL');
    await served.says(/the guest has gone/);
    vm = machine();
    await vm.booted();
    assert.match(await vm.run('/up'), lease);
    assert.match(await vm.run(`ping -c 2 ${PLACES.server[4]}`), /2 packets received/);
    assert.doesNotMatch(served.stderr, /broken|can't be/);
  });
});
