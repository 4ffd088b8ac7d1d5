import assert from 'node:assert/strict';
import { existsSync, openSync } from 'node:fs';
import { after, before, it } from 'node:test';
import { ERRNO } from './errno.ts';
import { LinuxSys } from './linux.ts';
import { SO, SOL } from './options.ts';
import { inOwnNamespace } from './own-namespace-fixture.test.ts';
import { SOCKETS_PER_REQUEST_MAX, type SocketServer, startSocketServer } from './socket-server.ts';
import { SOCKET_FAMILY, SOCKET_TYPE } from './sys.ts';

const { INET, INET6 } = SOCKET_FAMILY;
const { STREAM, DGRAM } = SOCKET_TYPE;

// Where nobody else has ports.
inOwnNamespace(import.meta.url, 'a process that makes sockets', () => {
  const sys = new LinuxSys();
  const made: number[] = [];
  let server: SocketServer;

  before(() => {
    const started = startSocketServer();
    assert.ok(started.ok);
    server = started.value;
  });

  after(() => {
    for (const fd of made) sys.close(fd);
    server.close();
  });

  function make(request: Parameters<SocketServer['make']>[0]): number[] {
    const result = new Int32Array(request.count ?? 1);
    assert.equal(server.make(request, result), 0);
    for (const fd of result) if (fd >= 0) made.push(fd);
    return [...result];
  }

  function portOf(fd: number): number {
    const address = new Int32Array(6);
    assert.equal(sys.localAddress(fd, address), 0);
    return address[4];
  }

  it('makes as many as one message carries, of both families and types', () => {
    const many = make({ family: INET, type: STREAM, count: SOCKETS_PER_REQUEST_MAX });
    assert.equal(new Set(many.filter((fd) => fd >= 0)).size, SOCKETS_PER_REQUEST_MAX);
    assert.ok(make({ family: INET6, type: DGRAM })[0] >= 0);
  });

  it('binds them to ports that follow each other, and says which it could not have', () => {
    const [first] = make({
      family: INET,
      type: STREAM,
      address: Int32Array.of(0, 0, 0xffff, 0x7f000009, 0, 0),
      backlog: 1,
    });
    const port = portOf(first) - 1;
    const request = { family: INET, type: STREAM, count: 3, address: Int32Array.of(0, 0, 0xffff, 0x7f000009, port, 0) };
    const [before, taken, behind] = make({ ...request, backlog: 5 });
    assert.equal(taken, -ERRNO.EADDRINUSE);
    assert.deepEqual([portOf(before), portOf(behind)], [port, port + 2]);
    assert.equal(sys.accept(before, new Int32Array(6)), -ERRNO.EAGAIN);
  });

  it('makes sockets of IPv6 that are of IPv4 too', () => {
    const any = Int32Array.of(0, 0, 0, 0, 0, 0);
    const [both] = make({ family: INET6, type: STREAM, address: any, backlog: 1, dual: true });
    const [one] = make({ family: INET6, type: STREAM, address: any, backlog: 1 });
    const caller = sys.socket(INET, STREAM, 0);
    made.push(caller);
    sys.connect(caller, Int32Array.of(0, 0, 0xffff, 0x7f000001, portOf(one), 0));
    assert.equal(sys.getOption(caller, SOL.SOCKET, SO.ERROR), ERRNO.ECONNREFUSED);
    const again = sys.socket(INET, STREAM, 0);
    made.push(again);
    sys.connect(again, Int32Array.of(0, 0, 0xffff, 0x7f000001, portOf(both), 0));
    const address = new Int32Array(6);
    made.push(sys.accept(both, address));
    assert.deepEqual([...address.subarray(0, 4)], [0, 0, 0xffff, 0x7f000001]);
  });

  it('refuses what can not be', () => {
    const result = new Int32Array(300);
    assert.throws(() => server.make({ family: INET, type: STREAM, count: 254 }, result), RangeError);
    assert.throws(() => server.make({ family: 1, type: STREAM }, result), RangeError);
    assert.throws(() => server.make({ family: INET, type: STREAM, count: 2 }, new Int32Array(1)), RangeError);
    assert.equal(server.makeOne({ family: INET, type: STREAM, device: 'no/such' }), -ERRNO.ENODEV);
    assert.equal(server.makeOne({ family: INET, type: STREAM, device: 'no-such' }), -ERRNO.ENODEV);
  });

  it('can not be started in what is no network namespace', () => {
    const fd = openSync('/proc/self/ns/uts', 'r');
    const started = startSocketServer(fd);
    sys.close(fd);
    assert.equal(started.ok ? '' : started.failure.code, 'socket-server');
  });

  it('ends, and what it made stays', () => {
    const started = startSocketServer();
    assert.ok(started.ok);
    const fd = started.value.makeOne({
      family: INET,
      type: DGRAM,
      address: Int32Array.of(0, 0, 0xffff, 0x7f000001, 0, 0),
    });
    started.value.close();
    started.value.close();
    assert.ok(!existsSync(`/proc/${started.value.pid}`));
    assert.ok(portOf(fd) > 0);
    assert.equal(started.value.makeOne({ family: INET, type: DGRAM }), -ERRNO.EPIPE);
    sys.close(fd);
  });
});
