import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { OFFLOAD, pattern, REMOTE6, TcpBench, type TcpBenchOptions } from './tcp-bench.test.ts';

let bench: TcpBench;

function start(options: TcpBenchOptions = {}): void {
  bench = new TcpBench(options);
}

afterEach(() => bench.close());

/** Each test of loss runs with the kernel's peek offset and without. */
function withAndWithoutPeekOffset(run: (peekOffset: boolean) => void): void {
  for (const peekOffset of [true, false]) {
    start({ sys: { peekOffset } });
    run(peekOffset);
    if (!peekOffset) return;
    bench.close();
  }
}

describe('tcp: from the host to the guest', () => {
  it('sends what the window allows, and more when it is acknowledged', () => {
    withAndWithoutPeekOffset(() => {
      const guest = bench.connected({}, { scale: 0 });
      guest.ask('A', { window: 3000 });
      bench.peer.send(pattern(5000));
      assert.deepEqual(guest.take(), ['A 1+1460 ack 1', 'A 1461+1460 ack 1']);
      assert.deepEqual(guest.ask('A', { ack: 1461, window: 3000 }), ['A 2921+1460 ack 1']);
      assert.deepEqual(guest.ask('A', { window: 3000 }), ['A 4381+620 ack 1']);
      assert.deepEqual(guest.ask('A', { window: 3000 }), []);
      assert.deepEqual(guest.received, [...pattern(5000)]);
      assert.equal(
        bench.flows.bytesIn.reduce((sum, bytes) => sum + bytes),
        5000,
      );
    });
  });

  it('counts the window in the units that the guest said, but not in its SYN', () => {
    start();
    const guest = bench.talk({});
    guest.ask('S', { mss: 1000, scale: 3, window: 8 });
    bench.peer.send(pattern(3000));
    assert.deepEqual(guest.ask('A', { window: 2000 }), ['A 1+1000 ack 1', 'A 1001+1000 ack 1']);
  });

  it('makes super-segments where the link takes them, in both families', () => {
    for (const [remote, mss] of [
      [undefined, 1460],
      [REMOTE6, 1440],
    ] as const) {
      start({ offload: OFFLOAD });
      const guest = bench.connected({}, {}, remote === undefined ? {} : { remote });
      bench.peer.send(pattern(150_000));
      const whole = remote === undefined ? 44 * 1460 : 45 * 1440;
      const sent = guest.ask('A', { window: 1 << 20 });
      assert.deepEqual(sent.slice(0, 2), [`A 1+${whole} ack 1 gso ${mss}`, `A ${1 + whole}+${whole} ack 1 gso ${mss}`]);
      assert.equal(sent.length, 3);
      assert.deepEqual(guest.received, [...pattern(150_000)]);
      bench.close();
    }
    start();
  });

  it('waits at a closed window, probes, and goes on when it opens, with the update lost or not', () => {
    withAndWithoutPeekOffset(() => {
      const guest = bench.connected({}, { scale: 0 });
      guest.ask('A', { window: 0 });
      bench.peer.send(pattern(100));
      assert.deepEqual(guest.take(), []);
      bench.wait(1100);
      assert.deepEqual(guest.take(), ['A 0 ack 1'], 'a probe');
      assert.deepEqual(guest.ask('A', { window: 0 }), []);
      bench.wait(1100);
      assert.deepEqual(guest.take(), ['A 0 ack 1']);
      // The window is open, but the guest's word of it was lost: the next probe is answered with it.
      bench.wait(2100);
      assert.deepEqual(guest.take(), ['A 0 ack 1']);
      assert.deepEqual(guest.ask('A', { window: 50 }), ['A 1+50 ack 1']);
      assert.deepEqual(guest.ask('A', { window: 500 }), ['A 51+50 ack 1']);
      assert.deepEqual(guest.received, [...pattern(100)]);
    });
  });

  it('gives up a guest that does not answer its probes', () => {
    start();
    const guest = bench.connected({}, { scale: 0 });
    guest.ask('A', { window: 0 });
    bench.peer.send(pattern(100));
    bench.wait(3_600_000);
    const sent = guest.take();
    assert.equal(sent.pop(), 'RA 1 ack 1');
    assert.deepEqual(sent, new Array(15).fill('A 0 ack 1'));
    assert.deepEqual(bench.outcomes, ['timeout']);
    assert.equal(bench.peer.state, 'reset');
  });

  it('does not take the window from an older segment', () => {
    start();
    const guest = bench.connected({}, { scale: 0 });
    guest.ask('A', { data: 100, window: 9000 });
    guest.ask('A', { data: 100, window: 9000 });
    assert.deepEqual(guest.ask('A', { seq: 1, window: 0 }), ['A 1 ack 201'], 'overtaken by the others');
    assert.deepEqual(guest.ask('A', { seq: 9_000_000, window: 0, data: 1 }), ['A 1 ack 201'], 'beyond the window');
    bench.peer.send(pattern(100));
    assert.deepEqual(guest.take(), ['A 1+100 ack 201']);
    assert.deepEqual(guest.ask('A', { window: 0 }), [], 'a window that shrinks is believed');
    bench.peer.send(pattern(100, 100));
    assert.deepEqual(guest.take(), []);
  });

  it('sends everything again after a time-out, slowly at first, and backs off', () => {
    withAndWithoutPeekOffset(() => {
      const guest = bench.connected({}, { mss: 1000 });
      bench.peer.send(pattern(4000));
      assert.equal(guest.take().length, 4);
      bench.wait(1010);
      assert.deepEqual(guest.take(), ['A 1+1000 ack 1', 'A 1001+1000 ack 1']);
      bench.wait(2010);
      assert.deepEqual(guest.take(), ['A 1+1000 ack 1', 'A 1001+1000 ack 1']);
      assert.deepEqual(guest.ask('A', { ack: 1001 }), ['A 2001+1000 ack 1', 'A 3001+1000 ack 1']);
      assert.deepEqual(guest.ask('A', { ack: 4001 }), []);
      bench.peer.send(pattern(6000, 4000));
      assert.equal(guest.take().length, 6, 'all at once again');
      guest.ask('A');
      assert.deepEqual(guest.received, [...pattern(10_000)]);
    });
  });

  it('takes an acknowledgement of what it is about to send again', () => {
    withAndWithoutPeekOffset(() => {
      const guest = bench.connected({}, { mss: 1000 });
      bench.peer.send(pattern(5000));
      guest.take();
      bench.wait(1010);
      assert.equal(guest.take().length, 2);
      assert.deepEqual(guest.ask('A', { ack: 3501 }), ['A 3501+1000 ack 1', 'A 4501+500 ack 1']);
      guest.ask('A', { ack: 5001 });
      assert.deepEqual(guest.received, [...pattern(5000)]);
      bench.wait(5000);
      assert.deepEqual(guest.take(), []);
    });
  });

  it('sends the first segment again at the third duplicate, and the next at each partial acknowledgement', () => {
    withAndWithoutPeekOffset(() => {
      const guest = bench.connected({}, { mss: 1000 });
      bench.peer.send(pattern(8000));
      assert.equal(guest.take().length, 8);
      assert.deepEqual(guest.ask('A', { ack: 1001 }), []);
      const duplicate = (): string[] => guest.ask('A', { ack: 1001 });
      assert.deepEqual([duplicate(), duplicate()], [[], []]);
      assert.deepEqual(duplicate(), ['A 1001+1000 ack 1']);
      assert.deepEqual(duplicate(), []);
      bench.peer.send(pattern(1000, 8000));
      assert.deepEqual(guest.take(), ['A 8001+1000 ack 1'], 'the peek offset is where it was');
      assert.deepEqual(guest.ask('A', { ack: 4001 }), ['A 4001+1000 ack 1']);
      assert.deepEqual(guest.ask('A', { ack: 9001 }), []);
      assert.deepEqual(guest.received, [...pattern(9000)]);
    });
  });

  it('does not take a changed window, or data, for a duplicate', () => {
    start();
    const guest = bench.connected({}, { scale: 0 });
    bench.peer.send(pattern(100));
    guest.take();
    for (const window of [60_000, 61_000, 62_000, 63_000]) guest.ask('A', { ack: 1, window });
    for (let i = 0; i < 4; i++) assert.deepEqual(guest.ask('A', { ack: 1, data: 10 }), [`A 101 ack ${11 + i * 10}`]);
    assert.equal(guest.received.length, 100);
  });

  it('measures the round trip, and waits as long as that says', () => {
    start();
    const guest = bench.connected({}, {});
    for (let i = 0; i < 10; i++) {
      bench.peer.send(pattern(10, i * 10));
      guest.take();
      bench.wait(100);
      guest.ask('A');
    }
    bench.peer.send(pattern(10, 100));
    guest.take();
    bench.wait(190);
    assert.deepEqual(guest.take(), []);
    bench.wait(40);
    assert.deepEqual(guest.take(), ['A 101+10 ack 1']);
  });

  it('does not put off the time-out because the guest sends, or the host', () => {
    start();
    const guest = bench.connected({}, { mss: 1000 });
    bench.peer.send(pattern(1000));
    guest.take();
    for (let i = 0; i < 9; i++) {
      bench.wait(100);
      guest.ask('A', { ack: 1, data: 1 });
      if (i > 5) bench.peer.send(pattern(1000, 1000 * (i - 5)));
    }
    guest.take();
    bench.wait(120);
    assert.equal(guest.take()[0], 'A 1+1000 ack 10');
    bench.wait(1000);
    guest.ask('A', { ack: 1001 });
    bench.wait(990);
    assert.deepEqual(guest.take(), [], 'an acknowledgement of something new does');
  });

  it('does not put off a window probe because the host has more', () => {
    start();
    const guest = bench.connected({}, { scale: 0 });
    guest.ask('A', { window: 0 });
    for (let i = 0; i < 12; i++) {
      bench.peer.send(pattern(10, i * 10));
      bench.wait(100);
    }
    assert.deepEqual(guest.take(), ['A 0 ack 1']);
  });

  it('gives up a guest that acknowledges nothing', () => {
    start();
    const guest = bench.connected();
    bench.peer.send(pattern(10));
    bench.wait(1_200_000);
    const sent = guest.take();
    assert.equal(sent.pop(), 'RA 1 ack 1');
    assert.deepEqual(sent, new Array(16).fill('A 1+10 ack 1'));
    assert.deepEqual(bench.outcomes, ['timeout']);
  });

  it('keeps silent flows alive, and finds out the dead after two hours', () => {
    start();
    const guest = bench.connected();
    bench.wait(7_190_000);
    assert.deepEqual(guest.take(), []);
    bench.wait(20_000);
    assert.deepEqual(guest.take(), ['A 0 ack 1']);
    guest.ask('A');
    bench.wait(7_190_000);
    assert.deepEqual(guest.take(), []);
    bench.wait(20_000 + 9 * 75_000);
    assert.deepEqual(guest.take(), [...new Array(9).fill('A 0 ack 1'), 'RA 1 ack 1']);
    assert.deepEqual(bench.outcomes, ['timeout']);
  });

  it('finds out the dead also while bytes of theirs wait for a host that takes none, unless they have ended their side', () => {
    for (const ends of [false, true]) {
      start({ sys: { sendBytesMax: 2000 } });
      const guest = bench.connected({ reading: 'manual', receiveBytesMax: 1000 });
      guest.ask(ends ? 'FA' : 'A', { data: pattern(9000) });
      bench.wait(7_210_000);
      assert.deepEqual(guest.take(), ends ? [] : ['A 0 ack 9001']);
      guest.ask('A');
      bench.wait(7_210_000 + 9 * 75_000);
      assert.deepEqual(guest.take(), ends ? [] : [...new Array(9).fill('A 0 ack 9001'), 'RA 1 ack 9001']);
      assert.deepEqual(bench.outcomes, ends ? [] : ['timeout']);
      if (!ends) bench.close();
    }
  });

  it('carries large streams through a small arena of packets, many flows at once', () => {
    start({ flowsMax: 12, offload: OFFLOAD, sys: { receiveBytesMax: 3_000_000 } });
    const guests = Array.from({ length: 12 }, (_, i) =>
      bench.connected({}, { mss: 1460, scale: 8 }, { port: 100 + i }),
    );
    const { peers } = bench.sys.network;
    for (const peer of peers) peer.send(new Uint8Array(1_200_000));
    for (const guest of guests) guest.send('A', { window: 4_000_000 });
    bench.settle();
    let got = 0;
    for (const guest of guests) {
      guest.take();
      got += guest.received.length;
    }
    assert.equal(got, 12 * 1_200_000);
  });
});
