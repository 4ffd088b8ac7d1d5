import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { BoundPorts } from './bound-ports.ts';
import { LinuxSys } from './linux.ts';
import { inOwnNamespace } from './own-namespace-fixture.test.ts';
import { type SocketServer, startSocketServer } from './socket-server.ts';
import { SOCKET_FAMILY, SOCKET_TYPE } from './sys.ts';

const { INET, INET6 } = SOCKET_FAMILY;
const { STREAM, DGRAM } = SOCKET_TYPE;
const LOOPBACK = [0, 0, 0xffff, 0x7f000001];

// Where nobody else has ports.
inOwnNamespace(import.meta.url, 'ports that are bound', () => {
  const sys = new LinuxSys();
  const made: number[] = [];
  let server: SocketServer;
  let bound: BoundPorts;

  before(() => {
    const started = startSocketServer();
    assert.ok(started.ok);
    server = started.value;
    const opened = BoundPorts.open(server.makeDiagnostic());
    assert.ok(opened.ok);
    bound = opened.value;
  });

  after(() => {
    for (const fd of made) sys.close(fd);
    bound.close();
    server.close();
  });

  function bind(family: number, type: number, address: readonly number[], backlog: number): number {
    const fd = server.makeOne({ family, type, address: Int32Array.of(...address, 0, 0), backlog });
    assert.ok(fd >= 0, `errno ${-fd}`);
    made.push(fd);
    return portOf(fd);
  }

  function portOf(fd: number): number {
    const address = new Int32Array(6);
    assert.equal(sys.localAddress(fd, address), 0);
    return address[4]!;
  }

  function has(protocol: 'tcp' | 'udp', port: number): boolean {
    const ports = bound.read(protocol);
    assert.ok(ports.ok, JSON.stringify(ports));
    return ports.value.has(port);
  }

  it('are those of listening sockets, of both families', () => {
    const port4 = bind(INET, STREAM, LOOPBACK, 1);
    const port6 = bind(INET6, STREAM, [0, 0, 0, 1], 1);
    assert.deepEqual([has('tcp', port4), has('tcp', port6), has('udp', port4)], [true, true, false]);
    sys.close(made.shift()!);
    assert.equal(has('tcp', port4), false);
  });

  it('are not those that are only bound, or connected', () => {
    const port = bind(INET, STREAM, LOOPBACK, -1);
    assert.equal(has('tcp', port), false);
    const udp = bind(INET, DGRAM, LOOPBACK, -1);
    assert.equal(has('udp', udp), true);
    sys.connect(made.at(-1)!, Int32Array.of(...LOOPBACK, 9, 0));
    assert.equal(has('udp', udp), false);
  });

  it('can not be asked for by what is no descriptor', () => {
    const opened = BoundPorts.open(-22);
    assert.equal(opened.ok ? '' : opened.failure.code, 'socket-diagnosis');
  });
});
