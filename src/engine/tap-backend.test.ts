import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_OFFLOAD } from '../packet/offload.ts';
import { SimulatedSys } from '../sys/simulated.ts';
import { vhostNetAvailable } from '../sys/vhost-net.ts';
import { openTapLink } from './tap-backend.ts';

// Where there is vhost-net these are real taps: test/guest/inside/vhost-net.test.ts.
const here = vhostNetAvailable() ? 'this machine has vhost-net' : false;

function optionsOn(sys: SimulatedSys) {
  const arenaMemory = sys.register(new Uint8Array(4096));
  const { fd: tapFd } = sys.device();
  return {
    name: 'tap0',
    tapFd,
    hasVnetHeader: true,
    offload: NO_OFFLOAD,
    ringSizes: { rx: 256, tx: 256 },
    arenaMemory,
  };
}

test('a tap is read and written where there is no vhost-net', { skip: here }, () => {
  const sys = new SimulatedSys();
  const opened = openTapLink(sys, { ...optionsOn(sys), backend: 'auto' });
  assert.ok(opened.ok);
  assert.deepEqual([opened.value.backend, opened.value.refused], ['read-write', undefined]);
});

test('who asks for vhost-net is told that there is none, and keeps the tap', { skip: here }, () => {
  const sys = new SimulatedSys();
  const options = optionsOn(sys);
  const opened = openTapLink(sys, { ...options, backend: 'vhost-net' });
  assert.ok(!opened.ok && /^vhost-net-(missing|denied)$/.test(opened.failure.code), JSON.stringify(opened));
  assert.equal(openTapLink(sys, { ...options, backend: 'read-write' }).ok, true);
});

test('a tap without virtio-net headers is read and written', () => {
  const sys = new SimulatedSys();
  const options = { ...optionsOn(sys), hasVnetHeader: false };
  const opened = openTapLink(sys, { ...options, backend: 'auto' });
  assert.ok(opened.ok && opened.value.backend === 'read-write');
  const refused = openTapLink(sys, { ...options, backend: 'vhost-net' });
  assert.ok(!refused.ok && refused.failure.code === 'vhost-net-header-missing');
});
