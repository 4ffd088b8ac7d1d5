import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Random } from '#tapster/base/random.js';
import { SimulatedClock } from '#tapster/sys/simulated/clock.js';
import { Guest, type GuestOptions } from './guest.ts';
import { ACK, FIN, SYN, type TcpSegment, URG, writeTcp } from './guest-frame.ts';
import { ImpairedLink, type Impairment } from './guest-link.ts';
import type { GuestTcp, GuestTcpOptions } from './guest-tcp.ts';

const MAC_A = Uint8Array.of(2, 0, 0, 0, 0, 0xa);
const MAC_B = Uint8Array.of(2, 0, 0, 0, 0, 0xb);
const A4 = Uint8Array.of(10, 0, 2, 15);
const B4 = Uint8Array.of(198, 51, 100, 7);
const A6 = Uint8Array.of(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
const B6 = Uint8Array.of(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2);
const MINUTE_US = 60_000_000;

/** Two guests on one cable: each is the judge of the other. */
function cable(impairment: Impairment = {}, seed = 1, options: Partial<GuestOptions> = {}) {
  const clock = new SimulatedClock(0);
  const dice = new Random(seed);
  const toA = new ImpairedLink(clock, dice, (frame) => a.receive(frame), impairment);
  const toB = new ImpairedLink(clock, dice, (frame) => b.receive(frame), impairment);
  const a: Guest = new Guest({
    clock,
    mac: MAC_A,
    gatewayMac: MAC_B,
    addresses: [A4, A6],
    send: (f) => toB.send(f),
    ...options,
  });
  const b: Guest = new Guest({
    clock,
    mac: MAC_B,
    gatewayMac: MAC_A,
    addresses: [B4, B6],
    send: (f) => toA.send(f),
    ...options,
  });
  return { clock, a, b, toA, toB };
}

function pattern(seed: number, bytes: number): Uint8Array {
  return new Random(seed).fill(new Uint8Array(bytes));
}

/** A connection from `a` to port 80 of `b`, whose end `b` is given once the clock ran. */
function call(
  c: ReturnType<typeof cable>,
  options: GuestTcpOptions = {},
  serverOptions: GuestTcpOptions = {},
  address: Uint8Array = B4,
): { client: GuestTcp; server: () => GuestTcp } {
  let server: GuestTcp | undefined;
  c.b.listen(
    80,
    (connection) => {
      server = connection;
    },
    serverOptions,
  );
  const client = c.a.connect(address, 80, options);
  return { client, server: () => server! };
}

test('on a perfect link bytes cross both ways, in order, sent once', () => {
  for (const [address, options] of [
    [B4, {}],
    [B6, { partialChecksum: true }],
  ] as const) {
    const c = cable({ delayUs: 1000 }, 1, options);
    const { client, server } = call(c, {}, {}, address);
    c.clock.advance(10_000);
    assert.deepEqual([client.outcome, server().outcome], ['open', 'open']);
    const [up, down] = [pattern(1, 300_000), pattern(2, 200_001)];
    client.send(up);
    client.shutdown();
    server().send(down);
    c.clock.advance(MINUTE_US);
    assert.deepEqual(server().received, up);
    assert.deepEqual(client.received, down);
    assert.ok(server().receiver.isEnded);
    assert.equal(client.outcome, 'open', 'the other half is still open');
    server().shutdown();
    c.clock.advance(MINUTE_US);
    assert.deepEqual([client.outcome, server().outcome], ['closed', 'closed']);
    for (const end of [client, server()]) {
      assert.deepEqual([end.sender.retransmissions, end.receiver.outOfOrder, end.receiver.repeatedBytes], [0, 0, 0]);
    }
    assert.deepEqual([...c.a.allViolations, ...c.b.allViolations], []);
  }
});

test('on a bad link every byte arrives all the same, and nobody breaks a rule', () => {
  const bad = fc.record({
    loss: fc.constantFrom(0, 0.02, 0.1),
    duplication: fc.constantFrom(0, 0.05),
    reorder: fc.constantFrom(0, 0.1),
    reorderUs: fc.constantFrom(500, 30_000),
    delayUs: fc.constantFrom(0, 10_000),
    jitterUs: fc.constantFrom(0, 3000),
  });
  const receiveBytesMax = fc.constantFrom(3000, 65_535, 300_000);
  let [lost, repaired] = [0, 0];
  fc.assert(
    fc.property(fc.integer(), bad, receiveBytesMax, fc.boolean(), (seed, impairment, room, gso) => {
      const c = cable(impairment, seed);
      const shared = { reorderingLink: true, receiveBytesMax: room, gso };
      const { client, server } = call(c, shared, { ...shared, windowScale: seed % 2 === 0 ? 2 : -1 });
      for (let waited = 0; client.outcome === 'opening' && waited < 100; waited++) c.clock.advance(1_000_000);
      const [up, down] = [pattern(seed, 60_000), pattern(seed + 1, 60_000)];
      client.send(up);
      client.shutdown();
      for (let waited = 0; server().outcome === 'opening' && waited < 100; waited++) c.clock.advance(1_000_000);
      server().send(down);
      server().shutdown();
      c.clock.advance(60 * MINUTE_US);
      assert.deepEqual([...c.a.allViolations, ...c.b.allViolations], []);
      assert.deepEqual(server().received, up);
      assert.deepEqual(client.received, down);
      assert.ok(client.receiver.isEnded && server().receiver.isEnded);
      lost += c.toA.lost + c.toB.lost;
      repaired += client.sender.retransmissions + server().sender.retransmissions;
    }),
    { numRuns: 40 },
  );
  // How much is lost is a matter of the dice: that nothing was would need 40 runs without loss.
  assert.ok(lost > 0 && repaired > 0, `the link was bad: ${lost} lost, ${repaired} sent again`);
});

test('a SYN that comes again behind the end of its connection opens no other', () => {
  const c = cable();
  const frames: Uint8Array[] = [];
  c.toB.filter = (frame) => {
    frames.push(frame.slice());
    return 'pass';
  };
  const { client, server } = call(c);
  c.clock.advance(10);
  client.shutdown();
  server().shutdown();
  c.clock.advance(10);
  assert.deepEqual([client.outcome, server().outcome], ['closed', 'closed']);
  c.b.receive(frames[0]!);
  c.clock.advance(MINUTE_US);
  assert.equal(c.b.connections.length, 1);
  assert.deepEqual([...c.a.allViolations, ...c.b.allViolations], []);
});

test('a reader that stops closes the window; the sender probes, and goes on when it opens', () => {
  const c = cable({ delayUs: 1000 });
  const { client, server } = call(c, {}, { reading: 'manual', receiveBytesMax: 20_000, windowScale: 0 });
  c.clock.advance(10_000);
  const data = pattern(3, 100_000);
  client.send(data);
  c.clock.advance(10 * MINUTE_US);
  assert.equal(server().unreadBytes, 20_000);
  assert.equal(client.outcome, 'open', 'a closed window may stay closed');
  assert.ok(client.sender.probes > 3);
  server().setReading('auto');
  c.clock.advance(MINUTE_US);
  assert.deepEqual(server().received, data);
  assert.deepEqual([...c.a.allViolations, ...c.b.allViolations], []);
});

test('a lost segment is sent again after three duplicates, without waiting for the timeout', () => {
  const c = cable({ delayUs: 5000 });
  const { client, server } = call(c);
  c.clock.advance(50_000);
  let frames = 0;
  c.toB.filter = () => (++frames === 3 ? 'drop' : 'pass');
  client.send(pattern(4, 14_600));
  c.clock.advance(60_000);
  assert.equal(server().received.length, 14_600);
  assert.equal(client.sender.retransmissions, 1);
});

test('opens end as they should: refused, reset, unreachable, given up', () => {
  const c = cable({ delayUs: 10 });
  const refused = c.a.connect(B4, 81);
  c.clock.advance(1000);
  assert.equal(refused.outcome, 'refused');
  const { client, server } = call(c);
  c.clock.advance(1000);
  server().reset();
  c.clock.advance(1000);
  assert.deepEqual([client.outcome, server().outcome], ['reset', 'aborted']);
  c.toB.filter = () => 'drop';
  const silent = c.a.connect(B4, 80);
  c.clock.advance(60 * MINUTE_US);
  assert.equal(silent.outcome, 'timeout');
  assert.equal(silent.sender.retransmissions, silent.sender.attemptsMax);
  const unreachable = c.a.connect(B4, 80);
  c.a.receive(icmpUnreachable(40_003));
  assert.equal(unreachable.outcome, 'unreachable');
  assert.deepEqual(c.a.allViolations, []);
});

test('after close, data that still comes is answered with a reset', () => {
  const c = cable({ delayUs: 10 });
  const { client, server } = call(c);
  c.clock.advance(1000);
  client.close();
  server().send(pattern(5, 10));
  c.clock.advance(1000);
  assert.deepEqual([client.outcome, server().outcome], ['aborted', 'reset']);
});

/** Opens a connection of a guest by hand, so that the test can be the bad end. */
function byHand() {
  const clock = new SimulatedClock(0);
  const sent: Uint8Array[] = [];
  const guest = new Guest({
    clock,
    mac: MAC_A,
    gatewayMac: MAC_B,
    addresses: [A4],
    send: (frame) => sent.push(frame),
  });
  const connection = guest.connect(B4, 80, { initialSequence: 999, windowScale: 0, receiveBytesMax: 1000 });
  const give = (segment: Partial<TcpSegment>, damage: (frame: Uint8Array) => void = () => {}): void => {
    const whole = { sequence: 5001, acknowledgment: 1000, flags: ACK, window: 8000, ...segment };
    const frame = writeTcp({ ...TO_A, ...whole }, { sourceMac: MAC_B, destinationMac: MAC_A, partialChecksum: false });
    damage(frame);
    guest.receive(frame);
  };
  return { guest, connection, give, sent };
}

const TO_A = {
  source: B4,
  destination: A4,
  sourcePort: 80,
  destinationPort: 40_000,
  options: {},
  payload: new Uint8Array(0),
  gsoBytes: 0,
};

const SYN_ACK = { sequence: 5000, flags: SYN | ACK, options: { mss: 1460 } };

test('the judge sees what is forbidden, and nothing else', () => {
  type Give = ReturnType<typeof byHand>['give'];
  const faults: [RegExp, (give: Give) => void][] = [
    [/TCP checksum is wrong/, (give) => give({ payload: pattern(1, 9) }, (frame) => frame.fill(1, frame.length - 1))],
    [/IPv4 header checksum/, (give) => give({}, (frame) => frame.fill(9, 12 + 14 + 8, 12 + 14 + 9))],
    [/not for our MAC/, (give) => give({}, (frame) => frame.fill(9, 12, 13))],
    [/1 bytes beyond the window/, (give) => give({ payload: pattern(1, 1001) })],
    [/never sent/, (give) => give({ acknowledgment: 1001 })],
    [/urgent/, (give) => give({ flags: ACK | URG })],
    [/shrank by 100 bytes/, (give) => give({ window: 7900 })],
    [/without acknowledgment/, (give) => give({ flags: 0 })],
    [/SYN inside/, (give) => give({ flags: SYN | ACK })],
    [/the MSS is 1460/, (give) => give({ payload: pattern(1, 900), gsoBytes: 1461 })],
    [/the MTU is 1500/, (give) => give({ payload: pattern(1, 1461) })],
    [
      /another value/,
      (give) => {
        give({ payload: Uint8Array.of(1, 2, 3) });
        give({ payload: Uint8Array.of(1, 9, 3) });
      },
    ],
    [
      /the end moved from 4 to 3/,
      (give) => {
        give({ payload: Uint8Array.of(1, 2, 3), flags: ACK | FIN });
        give({ payload: Uint8Array.of(1, 2), flags: ACK | FIN });
      },
    ],
    [
      /behind the end at 1/,
      (give) => {
        give({ flags: ACK | FIN });
        give({ payload: Uint8Array.of(1, 2) });
      },
    ],
  ];
  for (const [message, fault] of faults) {
    const { guest, connection, give } = byHand();
    give(SYN_ACK);
    assert.equal(connection.outcome, 'open');
    assert.deepEqual(guest.allViolations, []);
    fault(give);
    assert.ok(
      guest.allViolations.some((violation) => message.test(violation)),
      `${message}: ${guest.allViolations}`,
    );
  }
});

test('the judge of the handshake', () => {
  const faults: [RegExp, Partial<TcpSegment>][] = [
    [/answered with acknowledgment 7/, { ...SYN_ACK, acknowledgment: 7 }],
    [/without MSS/, { ...SYN_ACK, options: {} }],
    [/scale of 15/, { ...SYN_ACK, options: { mss: 1460, windowScale: 15 } }],
    [/data on a SYN/, { ...SYN_ACK, payload: Uint8Array.of(1) }],
    [/answer the SYN/, {}],
  ];
  for (const [message, segment] of faults) {
    const { guest, give } = byHand();
    give(segment);
    assert.match(guest.allViolations.join('\n'), message);
  }
});

test('a guest answers ARP for its address', () => {
  const { guest, sent } = byHand();
  sent.length = 0;
  const request = new Uint8Array(12 + 42);
  request.set([255, 255, 255, 255, 255, 255, ...MAC_B, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, ...MAC_B, ...B4], 12);
  request.set(A4, 12 + 38);
  guest.receive(request);
  assert.equal(sent.length, 1);
  assert.deepEqual([...sent[0]!.subarray(12 + 20, 12 + 42)], [0, 2, ...MAC_A, ...A4, ...MAC_B, ...B4]);
});

/** ICMP host unreachable for a SYN from `port` of A to port 80 of B. */
function icmpUnreachable(port: number): Uint8Array {
  const quoted = [0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, ...A4, ...B4, port >> 8, port & 0xff, 0, 80, 0, 0, 0, 0];
  const message = [3, 1, 0, 0, 0, 0, 0, 0, ...quoted];
  const header = [0x45, 0, 0, 20 + message.length, 0, 0, 0, 0, 64, 1, 0, 0, ...B4, ...A4];
  setSum(message, 2);
  setSum(header, 10);
  return Uint8Array.from([...new Array(12).fill(0), ...MAC_A, ...MAC_B, 8, 0, ...header, ...message]);
}

function setSum(bytes: number[], at: number): void {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  bytes[at] = (~sum >> 8) & 0xff;
  bytes[at + 1] = ~sum & 0xff;
}
