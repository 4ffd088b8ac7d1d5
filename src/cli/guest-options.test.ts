/** Where the guest of `tapster guest` is plugged in: one way of several, none of which needs what another does. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type GuestFlags, toGuestOptions } from './guest-options.ts';
import { UsageError } from './usage-error.ts';

const none = { tcp: true, udp: true, icmp: true, sandbox: true } as unknown as GuestFlags;
const options = (flags: Partial<GuestFlags>, command: readonly string[] = [], environment = {}) =>
  toGuestOptions(command, { ...none, ...flags }, environment);

describe('where a guest is plugged in', () => {
  it('is a path, or the first free one of a series in the folder of the session', () => {
    assert.equal(options({ socket: '/tmp/vm.sock' }).socket, '/tmp/vm.sock');
    const { socket } = options({}, [], { XDG_RUNTIME_DIR: '/run/user/7' });
    assert.ok(typeof socket === 'object');
    const folder = process.getuid!() === 0 ? '/run' : '/run/user/7';
    assert.equal(socket.pathOf(3), `${folder}/tapster/guest-3.sock`);
  });

  it('is a path that can be copied to another folder, unless it fits only as it is', () => {
    assert.equal(options({ socket: 'vm.sock' }).socket, `${process.cwd()}/vm.sock`);
    const long = 'x'.repeat(107);
    assert.equal(options({ socket: long }).socket, long);
  });

  it("needs a folder of the session for the series, which is nobody else's", { skip: process.getuid!() === 0 }, () => {
    for (const environment of [{}, { XDG_RUNTIME_DIR: '' }, { XDG_RUNTIME_DIR: 'run' }]) {
      assert.throws(() => options({}, [], environment), UsageError);
    }
  });

  it('is a descriptor or a path to connect to, which need no folder', () => {
    assert.deepEqual([options({ fd: 3 }).fd, options({ fd: 3 }).socket], [3, undefined]);
    assert.deepEqual([options({ connect: '/q' }).connectPath, options({ connect: '/q' }).socket], ['/q', undefined]);
  });

  it('is one of these', () => {
    for (const flags of [
      { fd: 3, socket: '/s' },
      { fd: 3, connect: '/q' },
      { connect: '/q', socket: '/s' },
    ]) {
      assert.throws(() => options(flags), UsageError);
    }
    for (const flags of [{ fd: 3 }, { connect: '/q' }]) {
      assert.throws(() => options(flags, ['qemu']), /with a command: the guest is there already/);
    }
    assert.equal(options({ socket: '/s' }, ['qemu']).socket, '/s');
  });

  it('is looked at as the load asks for, unless said', () => {
    assert.equal(options({ socket: '/s' }).rxMode, 'adaptive');
    assert.equal(options({ socket: '/s', rxMode: 'polling' }).rxMode, 'polling');
  });

  it('carries a stream unless datagrams or vhost-user are asked for, and one of them', () => {
    const kind = (flags: Partial<GuestFlags>) => {
      const { datagrams, vhostUserPairs } = options({ socket: '/s', ...flags });
      return { datagrams, vhostUserPairs };
    };
    assert.deepEqual(kind({}), { datagrams: false, vhostUserPairs: 0 });
    assert.deepEqual(kind({ dgram: true }), { datagrams: true, vhostUserPairs: 0 });
    assert.deepEqual(kind({ vhostUser: true, queues: 2 }), { datagrams: false, vhostUserPairs: 2 });
    assert.throws(() => options({ dgram: true, vhostUser: true }), /different sockets/);
    assert.throws(() => options({ dgram: true, connect: '/q' }), /nobody listens at a datagram socket/);
    assert.throws(() => options({ dgram: true, queues: 2 }), /a stream or datagram socket has one/);
    assert.equal(options({ dgram: true, fd: 3 }).datagrams, true);
  });
});
