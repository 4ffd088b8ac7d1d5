import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { endpoint } from '../sys/simulated/endpoint.ts';
import { SOCKET_FAMILY, SOCKET_PROTOCOL, SOCKET_TYPE } from '../sys/sys.ts';
import { ForwardListeners, type ForwardRoute, type Introduces } from './forward-listen.ts';
import { SimulatedTurns } from './splice-fixture.test.ts';
import { SpliceTcp } from './splice-tcp.ts';

const GUEST = { interfaceIndex: 0, guest: Int32Array.of(0, 0, 0xffff, 0x0a000264) };

class Forwarding extends SimulatedTurns implements Introduces {
  readonly tcp: SpliceTcp = new SpliceTcp(this.deps);
  readonly listeners: ForwardListeners = new ForwardListeners(this.deps, this.tcp, this);
  readonly introduced: string[] = [];

  introduce(_to: typeof GUEST, guestPort: number, fd: number, caller: Int32Array): void {
    this.introduced.push(`${caller[3]! >>> 0} to ${guestPort}`);
    this.sys.close(fd);
  }

  /** Ports from 8000 on, of which those in `without` have no socket, lead to ports from 80 on. */
  listen(count: number, route: ForwardRoute, without: readonly number[] = []): Int32Array {
    const fds = Int32Array.from({ length: count }, (_, i) => (without.includes(i) ? -1 : this.#open(8000 + i)));
    assert.equal(this.listeners.add({ fds, route, toPort: 80 }), 0);
    return fds;
  }

  call(from: string, port: number): void {
    this.sys.network.call(endpoint('203.0.113.1', port), endpoint(from, 50_000 + port));
    this.run(4);
  }

  end(): void {
    this.listeners.closeAll();
    this.tcp.closeAll();
    this.sys.close(this.deps.poll);
    assert.deepEqual(this.sys.openDescriptors(), []);
    assert.equal(this.handlers.size, 0);
  }

  #open(port: number): number {
    const fd = this.sys.socket(SOCKET_FAMILY.INET, SOCKET_TYPE.STREAM, SOCKET_PROTOCOL.DEFAULT);
    assert.equal(this.sys.bind(fd, Int32Array.of(0, 0, 0xffff, 0xcb007101 | 0, port, 0)), 0);
    assert.equal(this.sys.listen(fd, 10), 0);
    return fd;
  }
}

const toGuest: ForwardRoute['guest'] = { ipv4: GUEST, ipv6: undefined };

describe('listening sockets of forwards', () => {
  it('lead who calls from the loopback to the other namespace, all others to the guest', () => {
    const forwarding = new Forwarding();
    forwarding.listen(2, { splice: { ipv4: forwarding.target, ipv6: undefined }, guest: toGuest });
    forwarding.sys.network.stream('198.51.100.7', 81, {});
    forwarding.call('127.0.0.9', 8001);
    assert.deepEqual([forwarding.tcp.counters.accepted, forwarding.introduced], [1, []]);
    forwarding.call('198.51.100.1', 8001);
    assert.deepEqual([forwarding.tcp.counters.accepted, forwarding.introduced], [1, [`${0xc6336401} to 81`]]);
    forwarding.end();
  });

  it('lead everybody to where there is a way at all, and nobody where there is none', () => {
    const forwarding = new Forwarding();
    const spliced = forwarding.listen(1, { splice: { ipv4: forwarding.target, ipv6: undefined }, guest: undefined });
    forwarding.call('198.51.100.1', 8000);
    assert.equal(forwarding.tcp.counters.accepted, 1);
    assert.ok(forwarding.listeners.remove(spliced));
    const nowhere = { ipv4: undefined, ipv6: undefined };
    const led = forwarding.listen(1, { splice: nowhere, guest: toGuest });
    forwarding.call('127.0.0.1', 8000);
    assert.deepEqual(forwarding.introduced, [`${0x7f000001} to 80`]);
    assert.ok(forwarding.listeners.remove(led));
    forwarding.listen(1, { splice: nowhere, guest: nowhere });
    forwarding.call('198.51.100.1', 8000);
    assert.deepEqual([forwarding.tcp.counters.accepted, forwarding.introduced.length], [1, 1]);
    forwarding.end();
  });

  it('may leave ports of a range out, and go with all that is theirs', () => {
    const forwarding = new Forwarding();
    const route = { splice: { ipv4: undefined, ipv6: undefined }, guest: toGuest };
    const fds = forwarding.listen(3, route, [1]);
    forwarding.call('198.51.100.1', 8002);
    assert.deepEqual(forwarding.introduced, [`${0xc6336401} to 82`]);
    assert.ok(forwarding.listeners.remove(fds));
    assert.equal(forwarding.listeners.remove(fds), false);
    forwarding.end();
  });
});
