import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { PACKETS_MAX, TURN_EVENTS_MAX } from '../base/limits.ts';
import { ERRNO } from '../sys/errno.ts';
import { OFFLOAD, pattern, TcpBench, type TcpBenchOptions } from '../translate/tcp-bench.test.ts';

let bench: TcpBench;

function start(options: TcpBenchOptions = {}): void {
  bench = new TcpBench(options);
}

afterEach(() => bench.close());

describe('the engine', () => {
  it('reads as many frames as the arena holds, and then the others', () => {
    start({ offload: OFFLOAD, sys: { sendBytesMax: 100_000_000 } });
    const guest = bench.connected({ receiveBytesMax: 100_000_000 });
    const bytes = pattern(62_000);
    // Beyond the window, so that nothing but reading them counts; 400 of them are 25 arenas.
    for (let i = 0; i < 400; i++) guest.send('A', { seq: i < 16 ? 1 + i * 62_000 : 2_000_000, data: bytes, gso: 1460 });
    assert.ok(guest.take().length <= 30);
    assert.equal(bench.engine.interfaceCounters(0).rxPackets, 402);
    assert.equal(bench.peer.receivedBytes, 16 * 62_000);
  });

  it('serves more flows than one turn takes events, and sends more packets than it holds', () => {
    const flows = TURN_EVENTS_MAX + 100;
    start({ flowsMax: flows });
    const guests = Array.from({ length: flows }, (_, i) => bench.connected({}, {}, { port: 1 + i }));
    for (const peer of bench.sys.network.peers) peer.send(pattern(5 * 1460));
    bench.settle();
    assert.ok(flows * 5 > PACKETS_MAX);
    for (const guest of guests) {
      assert.equal(guest.take().length, 5);
      assert.deepEqual(guest.received, [...pattern(5 * 1460)]);
    }
  });

  it('does in the same turn what a timer asks for', () => {
    start();
    const guest = bench.connected();
    bench.peer.send(pattern(10));
    guest.take();
    bench.sys.advance(1_010_000);
    while (bench.engine.turn());
    assert.deepEqual(guest.take(), ['A 1+10 ack 1']);
  });

  it('counts frames that the device does not take, and sends their bytes again', () => {
    start();
    const guest = bench.connected();
    for (const errno of [ERRNO.EIO, ERRNO.EAGAIN]) {
      bench.device.failWrites(errno);
      bench.peer.send(pattern(10));
      assert.deepEqual(guest.take(), []);
      // The time-out doubles, and what was sent twice is no measure of the round trip that would shorten it (Karn).
      bench.wait(2010);
      assert.ok(guest.take().length >= 1);
      guest.ask('A');
    }
    assert.equal(guest.received.length, 20);
    assert.equal(bench.engine.interfaceCounters(0).txErrors, 2);
  });

  it('reads a link in each turn where it is polled, until it is not or is lost', () => {
    start();
    bench.connected();
    const { engine } = bench;
    while (engine.turn());
    engine.setPolled(0, true);
    for (let i = 0; i < 5; i++) assert.equal(engine.turn(), true);
    engine.setPolled(0, false);
    while (engine.turn());
    assert.equal(engine.turn(), false);
    engine.setPolled(0, true);
    const lost: number[] = [];
    engine.onLinkLost = (index) => lost.push(index);
    bench.device.failReads(ERRNO.EBADFD, 100);
    while (engine.turn());
    assert.deepEqual(lost, [0]);
  });

  it('says once that a link is lost, and goes on', () => {
    start();
    bench.connected();
    const lost: number[] = [];
    bench.engine.onLinkLost = (index, errno) => lost.push(index, errno);
    bench.device.failReads(ERRNO.EBADFD, 100);
    bench.wait(5000);
    assert.deepEqual(lost, [0, ERRNO.EBADFD]);
  });

  it('takes an interrupted read for what it is', () => {
    start();
    const guest = bench.connected();
    bench.engine.onLinkLost = () => assert.fail('the link is there');
    bench.device.failReads(ERRNO.EINTR);
    assert.deepEqual(guest.ask('A', { data: 3 }), ['A 1 ack 4']);
  });

  it('never empties the arena while received packets are in use', () => {
    start({ flowsMax: 40, offload: OFFLOAD, sys: { sendBytesMax: 5000 } });
    const guests = Array.from({ length: 40 }, (_, i) => bench.connected({ echo: true }, {}, { port: 1 + i }));
    const { tcp, packets } = bench.engine;
    const process = tcp.process.bind(tcp);
    const writePayloads = tcp.writePayloads.bind(tcp);
    const reset = packets.reset.bind(packets);
    let inUse = false;
    tcp.process = (...args) => {
      inUse = true;
      process(...args);
    };
    tcp.writePayloads = () => {
      writePayloads();
      inUse = false;
    };
    packets.reset = () => {
      assert.equal(inUse, false);
      reset();
    };
    for (let round = 0; round < 10; round++) {
      for (const guest of guests) guest.send('A', { data: pattern(20_000, round * 20_000), gso: 1460 });
      bench.wait(1);
      for (const guest of guests) guest.take();
    }
    bench.wait(1000);
    for (const peer of bench.sys.network.peers) assert.equal(peer.receivedBytes, 200_000);
  });

  it('does nothing any more once it is closed, however often', () => {
    start();
    bench.connected();
    bench.engine.close();
    assert.equal(bench.engine.turn(), false);
    assert.deepEqual(bench.outcomes, ['killed']);
    bench.engine.close();
    assert.deepEqual(bench.sys.openDescriptors(), []);
  });
});
