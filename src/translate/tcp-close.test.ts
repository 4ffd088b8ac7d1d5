import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { ERRNO } from '../sys/errno.ts';
import { pattern, TcpBench, type TcpBenchOptions } from './tcp-bench.test.ts';

let bench: TcpBench;

function start(options: TcpBenchOptions = {}): void {
  bench = new TcpBench(options);
}

afterEach(() => bench.close());

describe('tcp: closing', () => {
  it('ends when the guest ends first, and the host goes on for a while', () => {
    start();
    const guest = bench.connected();
    assert.deepEqual(guest.ask('FA', { data: 10 }), ['A 1 ack 12']);
    bench.settle();
    assert.ok(bench.peer.sawEnd);
    bench.peer.send(pattern(20));
    assert.deepEqual(guest.take(), ['A 1+20 ack 12']);
    guest.ask('A');
    bench.peer.end();
    assert.deepEqual(guest.take(), ['FA 21 ack 12']);
    assert.equal(bench.flows.count, 1);
    assert.deepEqual(guest.ask('A'), []);
    assert.deepEqual(bench.outcomes, ['closed']);
  });

  it('ends when the host ends first, and the guest goes on for a while', () => {
    start();
    const guest = bench.connected();
    bench.peer.send(pattern(20));
    bench.peer.end();
    assert.deepEqual(guest.take(), ['FA 1+20 ack 1']);
    assert.deepEqual(guest.ask('A'), []);
    bench.wait(60_000);
    assert.deepEqual(guest.take(), [], 'nothing is left to probe for');
    assert.deepEqual(guest.ask('A', { data: 10 }), ['A 22 ack 11']);
    assert.equal(bench.peer.receivedBytes, 10);
    assert.deepEqual(guest.ask('FA'), ['A 22 ack 12']);
    bench.settle();
    assert.ok(bench.peer.sawEnd);
    assert.deepEqual(bench.outcomes, ['closed']);
  });

  it('ends when both end at once', () => {
    start();
    const guest = bench.connected();
    bench.peer.end();
    guest.send('FA');
    assert.deepEqual(guest.take(), ['FA 1 ack 2']);
    guest.ask('A', { ack: 2 });
    assert.deepEqual(bench.outcomes, ['closed']);
  });

  it('acknowledges a FIN that comes again, and takes none ahead of a gap, and no data behind it', () => {
    start();
    const guest = bench.connected();
    assert.deepEqual(guest.ask('FA', { seq: 11, data: pattern(10, 10) }), ['A 1 ack 1']);
    assert.deepEqual(guest.ask('A', { seq: 1, data: pattern(10) }), ['A 1 ack 21']);
    assert.equal(bench.peer.sawEnd, false);
    assert.deepEqual(guest.ask('FA', { seq: 11, data: pattern(10, 10) }), ['A 1 ack 22']);
    assert.deepEqual(guest.ask('FA', { seq: 11, data: pattern(10, 10) }), ['A 1 ack 22']);
    assert.deepEqual(guest.ask('A', { seq: 22, data: 10 }), ['A 1 ack 22']);
    assert.deepEqual(guest.ask('FA', { seq: 40, data: 10 }), ['A 1 ack 22']);
    assert.deepEqual(bench.peer.received, pattern(20));
    assert.ok(bench.peer.sawEnd);
  });

  it('sends its FIN again until it is acknowledged, by itself and with the bytes before it', () => {
    for (const peekOffset of [true, false]) {
      start({ sys: { peekOffset } });
      const guest = bench.connected();
      bench.peer.send(pattern(20));
      bench.peer.end();
      assert.deepEqual(guest.take(), ['FA 1+20 ack 1']);
      bench.wait(1010);
      assert.deepEqual(guest.take(), ['FA 1+20 ack 1']);
      assert.deepEqual(guest.ask('A', { ack: 21 }), []);
      bench.wait(2010);
      assert.deepEqual(guest.take(), ['FA 21 ack 1']);
      assert.deepEqual(guest.ask('A', { ack: 22 }), []);
      bench.wait(10_000);
      assert.deepEqual(guest.take(), []);
      guest.ask('FA');
      assert.deepEqual(bench.outcomes, ['closed']);
      bench.close();
    }
    start();
  });

  it('sends the end with the last bytes, or by itself where the window or the segment is full', () => {
    start();
    const full = bench.connected();
    bench.peer.send(pattern(1460));
    bench.peer.end();
    assert.deepEqual(full.take(), ['A 1+1460 ack 1', 'FA 1461 ack 1']);
    const small = bench.connected({}, { scale: 0 }, { port: 4001 });
    assert.deepEqual(small.ask('A', { window: 30 }), []);
    bench.peer.send(pattern(40));
    bench.peer.end();
    assert.deepEqual(small.take(), ['A 1+30 ack 1']);
    assert.deepEqual(small.ask('A', { ack: 31, window: 1000 }), ['FA 31+10 ack 1']);
  });

  it('sends a lost FIN again at the third duplicate', () => {
    start();
    const guest = bench.connected();
    bench.peer.send(pattern(20));
    bench.peer.end();
    guest.take();
    for (let i = 0; i < 3; i++) guest.send('A', { ack: 21 });
    assert.deepEqual(guest.take(), []);
    guest.send('A', { ack: 21 });
    assert.deepEqual(guest.take(), ['FA 21 ack 1']);
    assert.deepEqual(guest.ask('A', { ack: 22 }), []);
  });

  it('delivers the end behind what a slow host has not taken yet', () => {
    start({ sys: { sendBytesMax: 1000 } });
    const guest = bench.connected({ reading: 'manual', receiveBytesMax: 1000 });
    guest.ask('FA', { data: pattern(50_000) });
    assert.deepEqual(bench.engine.tcp.undelivered().flows, 1);
    bench.peer.setReading('fast');
    bench.wait(10);
    assert.deepEqual(bench.peer.received, pattern(50_000));
    assert.ok(bench.peer.sawEnd);
    assert.equal(bench.engine.tcp.heldBytes, 0);
  });
});

describe('tcp: resets', () => {
  it('resets the host when the guest resets with exactly the next number', () => {
    start();
    const guest = bench.connected();
    assert.deepEqual(guest.ask('R', { seq: 2 }), ['A 1 ack 1'], 'in the window: challenged');
    assert.deepEqual(guest.ask('R', { seq: 0 }), [], 'before it');
    assert.deepEqual(guest.ask('R', { seq: 5_000_000 }), [], 'beyond it');
    assert.equal(bench.peer.state, 'connected');
    assert.deepEqual(guest.ask('R', { seq: 1 }), []);
    bench.settle();
    assert.equal(bench.peer.state, 'reset');
    assert.deepEqual(bench.outcomes, ['reset']);
  });

  it('resets the guest when the host resets, behind what it had sent', () => {
    start();
    const guest = bench.connected();
    bench.peer.send(pattern(30));
    bench.sys.advance(0);
    bench.peer.reset();
    assert.deepEqual(guest.take(), ['A 1+30 ack 1', 'RA 31 ack 1']);
    assert.deepEqual(bench.outcomes, ['reset']);
    assert.deepEqual(guest.ask('A'), ['R 31']);
  });

  it('does not make an end of what an error cut off, even if a write has met the error first', () => {
    start();
    const guest = bench.connected();
    bench.peer.send(pattern(30));
    bench.sys.advance(0);
    bench.peer.reset();
    bench.sys.advance(0);
    assert.deepEqual(guest.ask('A', { data: 10 }), ['A 1+30 ack 11', 'RA 31 ack 11']);
    assert.deepEqual(bench.outcomes, ['reset']);
  });

  it('passes on an end that came before the reset', () => {
    start();
    const guest = bench.connected();
    bench.peer.send(pattern(30));
    bench.peer.end();
    bench.sys.advance(0);
    bench.peer.reset();
    bench.sys.advance(0);
    assert.deepEqual(guest.ask('A', { data: 10 }), ['FA 1+30 ack 11', 'RA 32 ack 11']);
  });

  it('tells the guest of a failed write with nothing left to read, held or not', () => {
    for (const held of [false, true]) {
      start({ sys: { sendBytesMax: 1000 } });
      const guest = bench.connected(held ? { reading: 'manual', receiveBytesMax: 1000 } : {});
      if (held) guest.ask('A', { data: 40_000 });
      bench.sys.sendVector = () => -ERRNO.EPIPE;
      bench.peer.vanish(ERRNO.ETIMEDOUT);
      const said = guest.ask('A', { data: 10 });
      assert.match(said.at(-1)!, /^RA /);
      assert.equal(bench.flows.count, 0);
      assert.equal(bench.engine.tcp.heldBytes, 0);
      bench.close();
    }
    start();
  });

  it('resets the guest when the host has closed and the guest still sends', () => {
    start();
    const guest = bench.connected();
    bench.peer.close();
    assert.deepEqual(guest.take(), ['FA 1 ack 1']);
    guest.ask('A');
    assert.deepEqual(guest.ask('A', { data: 10 }), ['A 2 ack 11', 'RA 2 ack 11']);
    assert.deepEqual(bench.outcomes, ['reset']);
  });

  it('resets the guest when the host closes without reading all', () => {
    start();
    const guest = bench.connected({ reading: 'manual' });
    guest.ask('A', { data: 10 });
    bench.peer.close();
    assert.deepEqual(guest.take(), ['RA 1 ack 11']);
    assert.deepEqual(bench.outcomes, ['reset']);
  });

  it('forgets data that comes in one breath with a reset', () => {
    start();
    const guest = bench.connected();
    guest.send('A', { data: 100 });
    guest.send('R');
    bench.settle();
    assert.deepEqual(guest.take(), []);
    assert.equal(bench.peer.state, 'reset');
    assert.equal(bench.engine.timers, 0);
  });

  it('ends everything when the engine ends, whatever state it is in', () => {
    start();
    bench.talk({ connectDelayUs: 50_000 }).ask('S');
    bench.talk({}, { port: 81 }).ask('S');
    bench.connected({}, {}, { port: 82 }).ask('A', { data: 10 });
    const { peer } = bench;
    const ended = bench.connected({}, {}, { port: 83 });
    ended.ask('FA', { data: 10 });
    const orderly = bench.peer;
    bench.talk({ outcome: 'no-route' }, { port: 84 }).send('S');
    bench.engine.close();
    bench.sys.advance(1000);
    assert.equal(peer.state, 'reset');
    assert.equal(orderly.state, 'connected');
    assert.ok(orderly.sawEnd);
    assert.deepEqual(bench.outcomes, ['timeout', 'killed', 'killed', 'closed']);
  });
});
