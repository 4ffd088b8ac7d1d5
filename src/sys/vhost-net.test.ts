import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { describe, it } from 'node:test';
import { ERRNO } from './errno.ts';
import { failed, openDescriptors, unwrap } from './own-namespace-fixture.test.ts';
import { openVhostNet, type VhostCalls, vhostDescriptors, vhostNetAvailable } from './vhost-net.ts';

/** All that the kernel of 6.1 tells, and more that we do not ask for. */
const FEATURES: readonly number[] = [15, 24, 26, 27, 28, 29, 32, 33];
const RING = { size: 256, descriptors: 0, available: 4096, used: 8192 };
const OPTIONS = { tapFd: 7, memory: 3, memoryBytes: 1_000_000, receive: RING, transmit: { ...RING, size: 512 } };

/** A kernel that takes all, and notes it. Its descriptors are real, so that those which stay open are seen. */
class FakeCalls {
  readonly said: string[] = [];
  readonly features: Set<number> = new Set(FEATURES);
  /** The call that fails, and the times that it works before. */
  failing: string = '';
  before: number = 0;

  get calls(): VhostCalls {
    const note =
      (name: string, result: () => number = () => 0) =>
      (...words: readonly unknown[]): number => {
        if (name === this.failing && this.before-- === 0) return -ERRNO.EINVAL;
        this.said.push([name, ...words.slice(1)].join(' '));
        return result();
      };
    const open = (): number => openSync('/dev/null', 'r');
    return {
      eventCreate: note('eventCreate', open),
      vhostOpen: note('vhostOpen', open),
      vhostSetOwner: note('vhostSetOwner'),
      vhostGetFeatures: (_fd, words) => {
        if (this.failing === 'vhostGetFeatures') return -ERRNO.EINVAL;
        for (const bit of this.features) words[bit >> 5]! |= 1 << (bit & 31);
        return 0;
      },
      vhostSetFeatures: note('vhostSetFeatures'),
      vhostSetMemory: note('vhostSetMemory'),
      vhostSetRingSize: note('vhostSetRingSize'),
      vhostSetRingBase: note('vhostSetRingBase'),
      vhostSetRingAddresses: note('vhostSetRingAddresses'),
      vhostSetRingKick: note('vhostSetRingKick'),
      vhostSetRingCall: note('vhostSetRingCall'),
      vhostSetRingError: note('vhostSetRingError'),
      vhostSetBackend: note('vhostSetBackend'),
      pollCreate: note('pollCreate', open),
      pollControl: note('pollControl'),
    };
  }
}

describe('opening vhost-net', () => {
  it('tells the kernel of memory and rings, and of the tap last', () => {
    const before = openDescriptors();
    const kernel = new FakeCalls();
    const device = unwrap(openVhostNet(OPTIONS, kernel.calls));
    assert.equal(device.eventIndex, true);
    const { callFd, errorFd, receiveKickFd, transmitKickFd } = device;
    const said = kernel.said.filter((line) => /^vhost/.test(line));
    assert.deepEqual(said, [
      'vhostOpen',
      'vhostSetOwner',
      `vhostSetFeatures ${(1 << 15) | (1 << 28) | (1 << 29)} 1`,
      'vhostSetMemory 3 1000000',
      'vhostSetRingSize 0 256',
      'vhostSetRingBase 0 0',
      'vhostSetRingAddresses 0 256 3 0 4096 8192',
      `vhostSetRingKick 0 ${receiveKickFd}`,
      `vhostSetRingCall 0 ${callFd}`,
      `vhostSetRingError 0 ${errorFd}`,
      'vhostSetRingSize 1 512',
      'vhostSetRingBase 1 0',
      'vhostSetRingAddresses 1 512 3 0 4096 8192',
      `vhostSetRingKick 1 ${transmitKickFd}`,
      'vhostSetRingCall 1 -1',
      `vhostSetRingError 1 ${errorFd}`,
      'vhostSetBackend 0 7',
      'vhostSetBackend 1 7',
    ]);
    for (const fd of vhostDescriptors(device)) closeSync(fd);
    assert.equal(openDescriptors(), before);
  });

  it('does without EVENT_IDX, and names each other feature that is missing', () => {
    const kernel = new FakeCalls();
    kernel.features.delete(29);
    const device = unwrap(openVhostNet(OPTIONS, kernel.calls));
    assert.equal(device.eventIndex, false);
    for (const fd of vhostDescriptors(device)) closeSync(fd);
    const names: readonly (readonly [number, RegExp])[] = [
      [15, /lacks VIRTIO_NET_F_MRG_RXBUF/],
      [28, /lacks VIRTIO_RING_F_INDIRECT_DESC/],
      [32, /lacks VIRTIO_F_VERSION_1/],
    ];
    const before = openDescriptors();
    for (const [bit, message] of names) {
      const old = new FakeCalls();
      old.features.delete(bit);
      const failure = failed(openVhostNet(OPTIONS, old.calls));
      assert.equal(failure.code, 'vhost-net-feature-missing');
      assert.match(failure.message, message);
    }
    assert.equal(openDescriptors(), before);
  });

  it('names the step that fails, and leaves nothing open', () => {
    const steps: readonly (readonly [call: string, code: string, times: number])[] = [
      ['vhostOpen', 'vhost-net-open-failed', 1],
      ['vhostSetOwner', 'vhost-net-owner-failed', 1],
      ['vhostGetFeatures', 'vhost-net-features-failed', 1],
      ['vhostSetFeatures', 'vhost-net-features-failed', 1],
      ['vhostSetMemory', 'vhost-net-memory-failed', 1],
      ['eventCreate', 'vhost-net-events-failed', 4],
      ['pollCreate', 'vhost-net-events-failed', 1],
      ['pollControl', 'vhost-net-events-failed', 2],
      ['vhostSetRingSize', 'vhost-net-ring-failed', 2],
      ['vhostSetRingBase', 'vhost-net-ring-failed', 2],
      ['vhostSetRingAddresses', 'vhost-net-ring-failed', 2],
      ['vhostSetRingKick', 'vhost-net-ring-failed', 2],
      ['vhostSetRingCall', 'vhost-net-ring-failed', 2],
      ['vhostSetRingError', 'vhost-net-ring-failed', 2],
      ['vhostSetBackend', 'vhost-net-backend-failed', 2],
    ];
    const before = openDescriptors();
    for (const [call, code, times] of steps) {
      for (let time = 0; time < times; time++) {
        const kernel = new FakeCalls();
        kernel.failing = call;
        kernel.before = time;
        const failure = failed(openVhostNet(OPTIONS, kernel.calls));
        assert.equal(failure.code, code, call);
        assert.match(failure.message, /EINVAL/);
        assert.equal(openDescriptors(), before, call);
      }
    }
  });

  it('says what to do where there is no vhost-net, or none for us', () => {
    const answers: readonly (readonly [errno: number, code: string])[] = [
      [ERRNO.ENOENT, 'vhost-net-missing'],
      [ERRNO.ENODEV, 'vhost-net-missing'],
      [ERRNO.EACCES, 'vhost-net-denied'],
    ];
    for (const [errno, code] of answers) {
      const failure = failed(openVhostNet(OPTIONS, { ...new FakeCalls().calls, vhostOpen: () => -errno }));
      assert.equal(failure.code, code);
      assert.match(failure.message, /read-write/);
    }
    assert.equal(typeof vhostNetAvailable(), 'boolean');
  });
});
