import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Random } from '../base/random.ts';
import { ERRNO } from '../sys/errno.ts';
import { endpoint } from '../sys/simulated/endpoint.ts';
import type { SimulatedPeer, StreamService } from '../sys/simulated/peer.ts';
import type { SimulatedOptions } from '../sys/simulated.ts';
import { SOCKET_FAMILY, SOCKET_PROTOCOL, SOCKET_TYPE } from '../sys/sys.ts';
import { ForwardListeners, type ForwardRoute } from './forward-listen.ts';
import { SimulatedTurns } from './splice-fixture.test.ts';
import { SpliceTcp, type SpliceTcpOptions } from './splice-tcp.ts';

const PORT = 8080;
const TARGET_PORT = 80;
const BYTES = 700_000;

class Splice extends SimulatedTurns {
  readonly tcp: SpliceTcp;
  readonly listeners: ForwardListeners;
  readonly route: ForwardRoute = { splice: { ipv4: this.target, ipv6: undefined }, guest: undefined };
  readonly fd: number;
  readonly fds: Int32Array;
  #callers: number = 0;

  constructor(options: SpliceTcpOptions = {}, simulated: SimulatedOptions = {}) {
    super(simulated);
    this.tcp = new SpliceTcp(this.deps, { pipeBytes: 16 * 4096, ...options });
    this.listeners = new ForwardListeners(this.deps, this.tcp, { introduce: () => assert.fail('there is no guest') });
    this.fd = this.sys.socket(SOCKET_FAMILY.INET, SOCKET_TYPE.STREAM, SOCKET_PROTOCOL.DEFAULT);
    assert.equal(this.sys.bind(this.fd, Int32Array.of(0, 0, 0xffff, 0x7f000001, PORT, 0)), 0);
    assert.equal(this.sys.listen(this.fd, 100), 0);
    this.fds = Int32Array.of(this.fd);
    assert.equal(this.listeners.add({ fds: this.fds, route: this.route, toPort: TARGET_PORT }), 0);
  }

  serve(service: StreamService): void {
    this.sys.network.stream('198.51.100.7', TARGET_PORT, service);
  }

  call(service: StreamService = {}): SimulatedPeer {
    return this.sys.network.call(endpoint('127.0.0.1', PORT), endpoint('127.0.0.1', 50_000 + this.#callers++), service);
  }

  /** The last that was connected with at the target. */
  get served(): SimulatedPeer {
    return this.sys.network.peers.filter(({ address }) => address.port === TARGET_PORT).at(-1)!;
  }

  /** Ends everything, and holds that nothing is left. */
  end(): void {
    this.listeners.closeAll();
    this.tcp.closeAll();
    this.sys.close(this.deps.poll);
    assert.deepEqual(this.sys.openDescriptors(), []);
    assert.equal(this.sys.memories.count, 0);
    assert.equal(this.handlers.size, 0);
  }
}

describe('connections between two loopback interfaces', () => {
  it('echo every byte in order, and end as their ends do', () => {
    const splice = new Splice();
    splice.serve({ echo: true });
    const caller = splice.call();
    const sent = bytes(BYTES);
    caller.send(sent);
    caller.end();
    assert.ok(splice.runUntil(() => caller.sawEnd));
    assert.deepEqual(caller.received, sent);
    assert.deepEqual([splice.tcp.count, splice.tcp.counters.closed], [0, 1]);
    assert.equal(splice.tcp.counters.bytesToCallers, BYTES);
    splice.end();
  });

  it('let callers wait for whom there is no descriptor, and lose none of them', () => {
    const splice = new Splice();
    splice.serve({ echo: true });
    const said = bytes(1000);
    const call = (): SimulatedPeer => {
      const caller = splice.call();
      caller.send(said);
      return caller;
    };
    const first = call();
    assert.ok(splice.runUntil(() => first.received.length === said.length));
    splice.sys.faults.plan = { socket: { noDescriptors: 1 } };
    const others = [call(), call(), call()];
    splice.run(100);
    splice.tcp.housekeep();
    // One was accepted before that was known.
    assert.deepEqual([splice.tcp.count, splice.tcp.hasRoom, splice.tcp.counters.refused], [2, false, 0]);
    splice.sys.faults.plan = {};
    first.end();
    assert.ok(splice.runUntil(() => others.every(({ received }) => received.length === said.length)));
    for (const { received } of others) assert.deepEqual(received, said);
    splice.sys.faults.plan = { socket: { noDescriptors: 1 } };
    call();
    splice.run(100);
    assert.equal(splice.tcp.hasRoom, false);
    splice.end();
  });

  for (const pipesMax of [0, 1, 8]) {
    it(`lose nothing when calls fail, fall short and find no room, with ${pipesMax} pipes`, () => {
      for (let seed = 1; seed <= 12; seed++) {
        const odds = { again: 0.2, short: 0.4, noBuffers: 0.05 };
        const splice = new Splice(
          { pipesMax },
          {
            seed,
            faults: { splice: odds, peek: odds, sendVector: odds, discard: { again: 0.1, short: 0.3 } },
            sendBytesMax: 20_000,
          },
        );
        splice.serve({ echo: true, reading: 40_000_000 });
        const callers = [1, 2, 3].map(() => splice.call({ reading: 30_000_000 }));
        const sent = callers.map((caller, i) => {
          const data = bytes(60_000 + i);
          caller.send(data);
          caller.end();
          return data;
        });
        assert.ok(
          splice.runUntil(() => callers.every(({ sawEnd }) => sawEnd)),
          `seed ${seed}`,
        );
        for (const [i, caller] of callers.entries()) assert.deepEqual(caller.received, sent[i], `seed ${seed}`);
        assert.deepEqual([splice.tcp.count, splice.tcp.pipesHeld], [0, 0]);
        splice.end();
      }
    });
  }

  it('pass each end on by itself', () => {
    const splice = new Splice();
    splice.serve({});
    const caller = splice.call();
    caller.send(bytes(10));
    caller.end();
    assert.ok(splice.runUntil(() => splice.served?.sawEnd));
    assert.equal(splice.tcp.count, 1);
    splice.served.send(bytes(20));
    splice.served.end();
    assert.ok(splice.runUntil(() => caller.sawEnd));
    assert.equal(caller.receivedBytes, 20);
    assert.equal(splice.tcp.counters.closed, 1);
    splice.end();
  });

  for (const side of ['target', 'caller'] as const) {
    it(`hand a reset of the ${side} on`, () => {
      const splice = new Splice();
      splice.serve({});
      const caller = splice.call();
      splice.run(20);
      (side === 'target' ? splice.served : caller).reset();
      splice.run(20);
      assert.deepEqual([caller.state, splice.served.state], ['reset', 'reset']);
      assert.deepEqual([splice.tcp.counters.reset, splice.tcp.count], [1, 0]);
      splice.end();
    });
  }

  for (const outcome of ['refuse', 'unreachable', 'no-route'] as const) {
    it(`reset their caller when the target does: ${outcome}`, () => {
      const splice = new Splice();
      splice.serve({ outcome });
      const caller = splice.call();
      splice.run(50);
      assert.equal(caller.state, 'reset');
      assert.deepEqual([splice.tcp.counters.refused, splice.tcp.count], [1, 0]);
      splice.end();
    });
  }

  it('wait to be accepted while there is no room, and take it when there is some', () => {
    const splice = new Splice({ connectionsMax: 2 });
    splice.serve({ echo: true });
    const callers = [1, 2, 3, 4, 5].map(() => splice.call());
    splice.run(20);
    assert.deepEqual([splice.tcp.count, splice.tcp.counters.accepted], [2, 2]);
    for (const caller of callers) {
      caller.send(bytes(5));
      caller.end();
    }
    assert.ok(splice.runUntil(() => callers.every(({ sawEnd }) => sawEnd)));
    assert.equal(splice.tcp.counters.accepted, 5);
    splice.end();
  });

  it('wait for descriptors too', () => {
    const splice = new Splice();
    splice.serve({ echo: true });
    splice.sys.faults.plan = { accept: { noDescriptors: 1 } };
    const caller = splice.call();
    splice.run(20);
    assert.equal(splice.tcp.counters.accepted, 0);
    splice.sys.faults.plan = {};
    splice.listeners.retry();
    splice.run(5);
    assert.equal(splice.tcp.counters.accepted, 1);
    caller.end();
    assert.ok(splice.runUntil(() => caller.sawEnd));
    splice.end();
  });

  it('leave what was not read with its sender', () => {
    const splice = new Splice({}, { sendBytesMax: 10_000, receiveBytesMax: 10_000 });
    splice.serve({ reading: 'manual', receiveBytesMax: 10_000 });
    const caller = splice.call();
    caller.send(bytes(BYTES));
    splice.run(300);
    assert.equal(splice.tcp.pipesHeld, 1);
    assert.ok(caller.unsentBytes > BYTES - 200_000);
    splice.served.setReading('fast');
    caller.end();
    assert.ok(splice.runUntil(() => splice.served.sawEnd));
    assert.deepEqual([splice.served.receivedBytes, splice.tcp.pipesHeld], [BYTES, 0]);
    splice.end();
  });

  it('are reset when they are idle for too long, where that is asked for', () => {
    const splice = new Splice({ idleMsMax: 1000 });
    splice.serve({});
    const caller = splice.call();
    splice.run(20);
    caller.send(bytes(1));
    splice.run(5, 100_000);
    splice.tcp.housekeep();
    assert.equal(splice.tcp.count, 1);
    splice.run(10, 100_000);
    splice.tcp.housekeep();
    splice.run(2);
    assert.deepEqual([splice.tcp.count, splice.tcp.counters.idle, caller.state], [0, 1, 'reset']);
    splice.end();
  });

  it('are listed with who they are and what they moved', () => {
    const splice = new Splice();
    splice.serve({});
    splice.call().send(bytes(123));
    splice.run(20);
    const [view] = splice.tcp.connections(10);
    assert.deepEqual([view?.bytesToTarget, view?.bytesToCaller, view?.connected], [123, 0, true]);
    assert.deepEqual([view?.caller[4], view?.called[4], view?.target[4]], [50_000, PORT, TARGET_PORT]);
    splice.end();
  });

  it('refuse what is no longer theirs', () => {
    const splice = new Splice();
    assert.ok(splice.listeners.remove(splice.fds));
    assert.equal(splice.listeners.remove(splice.fds), false);
    assert.equal(splice.listeners.add({ fds: Int32Array.of(-1, 99), route: splice.route, toPort: 1 }), -ERRNO.EBADF);
    splice.end();
  });
});

const random = new Random(7);

function bytes(count: number): Uint8Array {
  return Uint8Array.from({ length: count }, () => random.between(0, 255));
}
