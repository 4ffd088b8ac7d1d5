import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { VERDICT } from '../flow/policy.ts';
import { ERRNO } from '../sys/errno.ts';
import { SO, SOL } from '../sys/options.ts';
import { endpoint } from '../sys/simulated/endpoint.ts';
import { StreamSocket } from '../sys/simulated/stream.ts';
import { SOCKET_FAMILY, SOCKET_PROTOCOL, SOCKET_TYPE } from '../sys/sys.ts';
import { type Conversation, REMOTE, REMOTE6, TcpBench, type TcpBenchOptions } from './tcp-bench.test.ts';

let bench: TcpBench;

function start(options: TcpBenchOptions = {}): void {
  bench = new TcpBench(options);
}

afterEach(() => bench.close());

describe('tcp: the guest calls', () => {
  it('answers the SYN only when the host is connected', () => {
    start();
    const guest = bench.talk({ connectDelayUs: 50_000 });
    assert.deepEqual(guest.ask('S', { mss: 1460, scale: 7 }), []);
    bench.wait(49);
    assert.deepEqual(guest.take(), []);
    bench.wait(2);
    assert.deepEqual(guest.take(), ['SA 0 ack 1 mss 1460 ws 6']);
    assert.equal(guest.segments[0].window, 65_535);
    assert.deepEqual(guest.ask('A'), []);
    assert.deepEqual(guest.ask('A', { data: 3 }), ['A 1 ack 4']);
    assert.equal(guest.segments[0].window, 1024 * 1024);
    assert.deepEqual([...bench.peer.received], [0, 158, 60]);
    guest.ask('R');
    assert.deepEqual(bench.outcomes, ['reset']);
  });

  it('says neither scale nor more than 64 KiB to a guest that does not scale, over IPv6 too', () => {
    start();
    for (const [remote, mss] of [
      [REMOTE, 1460],
      [REMOTE6, 1440],
    ] as const) {
      const guest = bench.talk({}, { remote });
      assert.deepEqual(guest.ask('S', { mss: 9000 }), [`SA 0 ack 1 mss ${mss}`]);
      guest.ask('A');
      assert.deepEqual(guest.ask('A', { data: 1 }), ['A 1 ack 2']);
      assert.equal(guest.segments[0].window, 65_535);
    }
  });

  it('asks for segments that fit the MTU, and for whole pages where these are large', () => {
    for (const [mtu, remote, mss] of [
      [9000, REMOTE, 8960],
      [9000, REMOTE6, 8940],
      [32_807, REMOTE, 32_767],
      [32_808, REMOTE, 32_768],
      [65_520, REMOTE, 61_440],
      [65_520, REMOTE6, 61_440],
    ] as const) {
      start({ mtu });
      const guest = bench.talk({}, { remote });
      assert.deepEqual(guest.ask('S', { mss: 1460 }), [`SA 0 ack 1 mss ${mss}`]);
      bench.close();
    }
    start();
  });

  it('sends segments of the size that the guest asked for, of 536 or 1,220 bytes if it did not ask', () => {
    start();
    for (const [remote, mss, bytes] of [
      [REMOTE, 700, 700],
      [REMOTE, -1, 536],
      [REMOTE6, -1, 1220],
      [REMOTE, 1, 88],
    ] as const) {
      const guest = bench.connected({}, { mss }, { remote });
      bench.peer.send(new Uint8Array(bytes + 1));
      assert.deepEqual(guest.take(), [`A 1+${bytes} ack 1`, `A ${bytes + 1}+1 ack 1`]);
    }
  });

  it('has urgent data of the host delivered in line', () => {
    start();
    bench.connected({});
    const socket = bench.sys.descriptor(bench.flows.hostFd[0]);
    assert.ok(socket instanceof StreamSocket);
    assert.equal(socket.options.get(`${SOL.SOCKET}:${SO.OOBINLINE}`), 1);
  });

  it('repeats the SYN-ACK, by itself and when asked, and then gives up', () => {
    start();
    const guest = bench.talk({});
    const answer = ['SA 0 ack 1 mss 1460 ws 6'];
    assert.deepEqual(guest.ask('S', { mss: 1460, scale: 7 }), answer);
    bench.wait(900);
    assert.deepEqual(guest.take(), []);
    bench.wait(200);
    assert.deepEqual(guest.take(), answer);
    bench.wait(2100);
    assert.deepEqual(guest.take(), answer);
    assert.deepEqual(guest.ask('S', { seq: 0, mss: 1460, scale: 7 }), answer);
    bench.wait(124_000);
    assert.deepEqual(guest.take(), [...answer, ...answer, ...answer, ...answer, 'RA 1 ack 1']);
    assert.equal(bench.peer.state, 'reset');
    assert.deepEqual(bench.outcomes, ['timeout']);
  });

  it('does not repeat the SYN-ACK because the host speaks first', () => {
    start();
    const guest = bench.talk({});
    guest.ask('S', { mss: 1460, scale: 7 });
    bench.peer.send(Uint8Array.of(1, 2, 3));
    assert.deepEqual(guest.take(), []);
    assert.deepEqual(guest.ask('A'), ['A 1+3 ack 1']);
  });

  it('starts with the first time-out again once the handshake has taken several', () => {
    start();
    const guest = bench.talk({});
    guest.ask('S', { mss: 1460, scale: 7 });
    bench.wait(16_000);
    guest.ask('A');
    guest.take();
    bench.peer.send(Uint8Array.of(1));
    assert.deepEqual(guest.take(), ['A 1+1 ack 1']);
    bench.wait(1100);
    assert.deepEqual(guest.take(), ['A 1+1 ack 1']);
  });

  it('takes repeated SYNs while the host connects for what they are', () => {
    start();
    const guest = bench.talk({ connectDelayUs: 3_000_000 });
    guest.send('S', { mss: 1460, scale: 7 });
    bench.wait(1000);
    guest.send('S', { seq: 0, mss: 1460, scale: 7 });
    bench.wait(3000);
    assert.deepEqual(guest.take().slice(0, 1), ['SA 0 ack 1 mss 1460 ws 6']);
    assert.equal(bench.sys.network.peers.length, 1);
  });

  it('tells what the host learnt: refused is RST, unreachable ICMP, a time-out silence', () => {
    start();
    const refused = bench.talk({ outcome: 'refuse' });
    assert.deepEqual(refused.ask('S'), ['RA 0 ack 1']);
    for (const [outcome, remote] of [
      ['unreachable', REMOTE],
      ['no-route', REMOTE],
      ['unreachable', REMOTE6],
      ['no-route', REMOTE6],
    ] as const) {
      const unreachable = bench.talk({ outcome }, { remote });
      assert.deepEqual(unreachable.ask('S'), []);
      assert.equal(bench.others.splice(0).length, 1, 'an ICMP error');
    }
    const silent = bench.talk({ outcome: 'timeout' });
    assert.deepEqual(silent.ask('S'), []);
    bench.wait(140_000);
    assert.deepEqual(silent.take(), []);
    assert.deepEqual(bench.others, []);
    assert.deepEqual(bench.outcomes, [
      'refused',
      'unreachable',
      'unreachable',
      'unreachable',
      'unreachable',
      'timeout',
    ]);
  });

  it('gives up when the guest does', () => {
    start();
    const guest = bench.talk({ connectDelayUs: 50_000 });
    guest.ask('S');
    assert.deepEqual(guest.ask('R', { seq: 5 }), [], 'another number');
    assert.equal(bench.flows.count, 1);
    guest.ask('R', { seq: 1 });
    assert.equal(bench.flows.count, 0);
    bench.wait(100);
    assert.deepEqual(guest.take(), []);
  });

  it('forgets a call that fails at once when the guest takes it back in the same breath', () => {
    start({ flowsMax: 1 });
    const guest = bench.talk({ outcome: 'no-route' });
    guest.send('S');
    guest.send('R', { seq: 1 });
    const other = bench.talk({ connectDelayUs: 1000 }, { port: 81 });
    other.send('S');
    bench.settle();
    assert.deepEqual(guest.take(), []);
    assert.deepEqual(bench.others, []);
    bench.wait(2);
    assert.deepEqual(other.take(), ['SA 0 ack 1 mss 1460']);
  });

  it('does not take an event of a flow that has gone for one of its successor', () => {
    start({ flowsMax: 1 });
    const guest = bench.connected({});
    const other = bench.talk({ connectDelayUs: 50_000 }, { port: 81 });
    bench.peer.send(Uint8Array.of(1));
    bench.sys.advance(0);
    guest.send('R');
    other.send('S');
    bench.settle();
    assert.deepEqual(other.take(), []);
    bench.wait(60);
    assert.deepEqual(other.take(), ['SA 0 ack 1 mss 1460']);
  });

  it('refuses visibly when flows, descriptors or poll entries are used up, and what policy forbids', () => {
    start({ flowsMax: 1 });
    bench.connected({});
    assert.deepEqual(bench.talk({}, { port: 81 }).ask('S'), ['RA 0 ack 1']);
    bench.close();

    start({ sys: { descriptorsMax: 6 } });
    assert.deepEqual(bench.talk({}).ask('S'), ['RA 0 ack 1']);
    bench.close();

    start({ sys: { faults: { socket: { noMemory: 1 } } } });
    assert.deepEqual(bench.talk({}).ask('S'), ['RA 0 ack 1']);
    bench.close();

    start();
    bench.sys.faults.plan = { pollControl: { noMemory: 1 } };
    assert.deepEqual(bench.talk({}).ask('S'), ['RA 0 ack 1']);
    bench.close();

    start({ verdict: VERDICT.REFUSE });
    assert.deepEqual(bench.talk({}).ask('S'), ['RA 0 ack 1']);
    assert.deepEqual(bench.outcomes, ['denied']);
  });

  it('answers what belongs to no flow with a reset, but never a reset', () => {
    start();
    const guest = bench.talk();
    assert.deepEqual(guest.ask('A', { ack: 77, data: 5 }), ['R 77']);
    assert.deepEqual(guest.ask('F', { seq: 10, data: 5 }), ['RA 0 ack 16']);
    assert.deepEqual(guest.ask('SA', { ack: 9 }), ['R 9']);
    assert.deepEqual(guest.ask('R', { seq: 1 }), []);
    assert.deepEqual(guest.ask('RA', { seq: 1 }), []);
    assert.deepEqual(bench.drops(), ['tcp-no-flow 2']);
  });

  it('answers an acknowledgement of another SYN-ACK with a reset', () => {
    start();
    const guest = bench.talk({});
    guest.ask('S');
    assert.deepEqual(guest.ask('A', { seq: 1, ack: 500 }), ['R 500']);
    assert.deepEqual(guest.ask('R', { seq: 1 }), []);
    assert.deepEqual(bench.outcomes, ['reset']);
  });

  it('goes on with a new call from a port whose old flow is still there', () => {
    start();
    const guest = bench.connected();
    assert.deepEqual(guest.ask('S', { seq: 50_000 }), ['A 1 ack 1'], 'the guest is told what we know');
    guest.ask('R', { seq: 1 });
    assert.deepEqual(guest.ask('S', { seq: 50_000 }), ['SA 0 ack 50001 mss 1460']);
  });
});

describe('tcp: the guest is called', () => {
  const PORT = 8080;
  const CALLER = endpoint('203.0.113.9', 5555);
  let fd: number;

  function publish(options: TcpBenchOptions = {}): void {
    start(options);
    fd = bench.sys.socket(SOCKET_FAMILY.INET, SOCKET_TYPE.STREAM, SOCKET_PROTOCOL.DEFAULT);
    bench.sys.bind(fd, Int32Array.of(0, 0, 0xffff, 0, PORT, 0));
    bench.sys.listen(fd, 200);
    const guest = Int32Array.of(0, 0, 0xffff, 0x0a00020f);
    assert.equal(bench.engine.tcpListeners.add({ fd, interfaceIndex: 0, guest, guestPort: 80 }), 0);
  }

  function call(from = CALLER): { caller: ReturnType<typeof bench.sys.network.call>; guest: Conversation } {
    const guest = bench.answer(80, '203.0.113.9', from.port);
    const caller = bench.sys.network.call(endpoint('192.0.2.2', PORT), from);
    bench.settle();
    return { caller, guest };
  }

  it('sends a SYN, and carries bytes both ways once it is answered', () => {
    publish();
    const { caller, guest } = call();
    caller.send(Uint8Array.of(1, 2));
    assert.deepEqual(guest.take(), ['S 0 mss 1460 ws 6']);
    assert.deepEqual(guest.ask('SA', { mss: 1460, scale: 7 }), ['A 1+2 ack 1']);
    assert.deepEqual(guest.ask('A', { data: 4 }), ['A 3 ack 5']);
    assert.equal(caller.received.length, 4);
    assert.equal(bench.flows.count, 1);
  });

  it('resets the caller when the guest refuses, or says nothing', () => {
    publish();
    const { caller, guest } = call();
    guest.take();
    assert.deepEqual(guest.ask('RA', { ack: 7 }), [], 'a reset of something else');
    guest.ask('RA', { seq: 0 });
    assert.equal(caller.state, 'reset');
    const silent = call(endpoint('203.0.113.9', 5556));
    bench.wait(130_000);
    assert.deepEqual(silent.guest.take(), [...new Array(7).fill('S 0 mss 1460 ws 6'), 'R 1']);
    assert.equal(silent.caller.state, 'reset');
    assert.deepEqual(bench.outcomes, ['refused', 'timeout']);
  });

  it('resets what the guest still has of an earlier call', () => {
    publish();
    const { guest } = call();
    guest.take();
    assert.deepEqual(guest.ask('A', { seq: 999, ack: 4711 }), ['R 4711']);
    bench.wait(1100);
    assert.deepEqual(guest.take(), ['S 0 mss 1460 ws 6']);
  });

  it('resets callers when there is no room for them', () => {
    publish({ flowsMax: 1 });
    call();
    assert.equal(call(endpoint('203.0.113.9', 5556)).caller.state, 'reset');
    bench.close();
    publish();
    bench.sys.faults.plan = { pollControl: { noMemory: 1 } };
    assert.equal(call().caller.state, 'reset');
    assert.equal(bench.flows.count, 0);
  });

  it('accepts a burst of callers without waiting', () => {
    publish({ flowsMax: 300 });
    const callers = Array.from({ length: 200 }, (_, i) =>
      bench.sys.network.call(endpoint('192.0.2.2', PORT), endpoint('203.0.113.9', 6000 + i)),
    );
    bench.sys.advance(0);
    bench.settle();
    assert.equal(bench.flows.count, 200);
    assert.ok(callers.every(({ state }) => state === 'connected'));
  });

  it('goes on to the next caller when one has gone while it waited', () => {
    publish();
    const { accept } = bench.sys;
    let failures = 1;
    bench.sys.accept = (listener, address) =>
      failures-- > 0 ? -ERRNO.ECONNABORTED : accept.call(bench.sys, listener, address);
    assert.deepEqual(call().guest.take(), ['S 0 mss 1460 ws 6']);
  });
});
