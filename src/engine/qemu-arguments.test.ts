/** What QEMU is told: a device for each kind of socket. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseMacAddress } from '../base/address.ts';
import { qemuArguments, qemuDatagramArguments, qemuVhostUserArguments, shellLine } from './qemu-arguments.ts';

const MAC = parseMacAddress('52:54:00:00:00:01');

describe('the arguments for QEMU', () => {
  it('lead to a stream, where a comma is two', () => {
    assert.equal(
      shellLine(qemuArguments('/run/a,b.sock', MAC)),
      '-netdev stream,id=tapster,server=off,addr.type=unix,addr.path=/run/a,,b.sock -device virtio-net-pci,netdev=tapster,mac=52:54:00:00:00:01',
    );
  });

  it('lead to datagrams, with both paths', () => {
    assert.equal(
      shellLine(qemuDatagramArguments('/run/a.sock', '/run/a.sock.qemu')),
      '-netdev dgram,id=tapster,local.type=unix,local.path=/run/a.sock.qemu,remote.type=unix,remote.path=/run/a.sock -device virtio-net-pci,netdev=tapster',
    );
  });

  it('lead to vhost-user, with several queues where there are any', () => {
    const socket = '-chardev socket,id=tapster,path=/run/a.sock,reconnect=1';
    assert.equal(
      shellLine(qemuVhostUserArguments('/run/a.sock', 1)),
      `${socket} -netdev vhost-user,id=tapster,chardev=tapster,queues=1 -device virtio-net-pci,netdev=tapster`,
    );
    assert.equal(
      shellLine(qemuVhostUserArguments('/run/a.sock', 2)),
      `${socket} -netdev vhost-user,id=tapster,chardev=tapster,queues=2 -device virtio-net-pci,netdev=tapster,mq=on`,
    );
  });

  it('are words of a shell', () => {
    assert.equal(shellLine(['a b', "it's", '/x=1,2']), `'a b' 'it'\\''s' /x=1,2`);
  });
});
