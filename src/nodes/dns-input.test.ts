import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ARC_DONE, ARC_NEXT } from '../graph/node.ts';
import { Packets } from '../packet/packets.ts';
import { DnsInput, type LocalNames } from './dns-input.ts';
import { type Bytes, checksum, ethernet, ip4, ip6, put, taken, u16, udp, v6 } from './packet-fixtures.test.ts';
import { arena, CONFIG, GUEST6, ip, LINK, OUR_LINK_LOCAL, receive, run, Sent } from './service-fixtures.test.ts';

const NAME = 'host.tapster.internal';
const NAMES: LocalNames = new Map([
  [NAME, [ip('10.0.2.2'), ip('fd74:6170:7374:6572::1')]],
  ['only4.test', [ip('192.0.2.4')]],
]);
const GUEST4 = [10, 0, 2, 100];
const DNS4 = [10, 0, 2, 3];
const A = 1;
const AAAA = 28;

function name(text: string): number[] {
  return [...text.split('.').flatMap((label) => [label.length, ...Buffer.from(label)]), 0];
}

interface QueryFields {
  flags?: number;
  counts?: Bytes;
  class?: number;
  edns?: boolean;
}

function query(text: string | Bytes, type: number, fields: QueryFields = {}): number[] {
  const edns = fields.edns === true;
  const question = [...(typeof text === 'string' ? name(text) : text), ...u16(type), ...u16(fields.class ?? 1)];
  const counts = fields.counts ?? [0, 1, 0, 0, 0, 0, 0, edns ? 1 : 0];
  const options = edns
    ? [0, ...u16(41), ...u16(4096), 0, 0, 0x80, 0, ...u16(12), ...u16(10), ...u16(8), ...v6(1, 2)]
    : [];
  return [0xab, 0xcd, ...u16(fields.flags ?? 0x0110), ...counts, ...question, ...options];
}

function over4(message: Bytes, to: Bytes = DNS4, port: number = 53): number[] {
  return ethernet(0x800, ip4(17, udp(5353, port, message, GUEST4, to), { from: GUEST4, to }));
}

function over6(message: Bytes): number[] {
  const datagram = [...u16(5353), ...u16(53), ...u16(8 + message.length), 0, 0, ...message];
  const sum = checksum([...GUEST6, ...OUR_LINK_LOCAL, 0, 17, ...u16(datagram.length), ...datagram]) || 0xffff;
  datagram.splice(6, 2, ...u16(sum));
  return ethernet(0x86dd, ip6(17, datagram, { from: GUEST6, to: OUR_LINK_LOCAL }));
}

/** The arc or reason, and the frame of the answer where there is one. */
function ask(frame: Bytes, names: LocalNames = NAMES): { arc: number | string; answer: number[] | undefined } {
  const packets = arena();
  const sent = new Sent();
  const arc = run(new DnsInput(CONFIG, names, sent), packets, receive(packets, frame));
  const answer = sent.list.length === 0 ? undefined : taken(packets, sent.only());
  return { arc, answer };
}

/** The DNS message of the answer to this message over IPv4. */
function reply(message: Bytes, names: LocalNames = NAMES): number[] {
  const { arc, answer } = ask(over4(message), names);
  assert.equal(arc, ARC_DONE);
  assert.ok(answer);
  return answer.slice(42);
}

describe('a question for a name of ours', () => {
  it('is answered with the address, from the server that was asked', () => {
    const { arc, answer } = ask(over4(query(NAME, A)));
    assert.equal(arc, ARC_DONE);
    const header = [0xab, 0xcd, 0x81, 0x90, 0, 1, 0, 1, 0, 0, 0, 0];
    const record = [0xc0, 12, 0, A, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 2, 2];
    const message = [...header, ...name(NAME), 0, A, 0, 1, ...record];
    const datagram = [...u16(53), ...u16(5353), ...u16(8 + message.length), 0, 0, ...message];
    const sum = checksum([...DNS4, ...GUEST4, 0, 17, ...u16(datagram.length), ...datagram]);
    datagram.splice(6, 2, ...u16(sum));
    const packet = ip4(17, datagram, { from: DNS4, to: GUEST4, fragment: 0x4000, id: 0 });
    assert.deepEqual(answer, [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, ...packet]);
  });

  it('is answered over IPv6, by the interface that it came in by', () => {
    const packets = arena();
    const sent = new Sent();
    const node = new DnsInput(CONFIG, NAMES, sent);
    assert.equal(run(node, packets, receive(packets, over6(query(NAME, AAAA)))), ARC_DONE);
    const packet = sent.only();
    assert.equal(packets.txInterface[packet], LINK);
    const frame = taken(packets, packet);
    assert.deepEqual(frame.slice(22, 54), [...OUR_LINK_LOCAL, ...GUEST6]);
    assert.equal(checksum([...frame.slice(22, 54), 0, 17, ...frame.slice(58, 60), ...frame.slice(54)]), 0);
    assert.deepEqual(frame.slice(-16), v6(0xfd746170, 0x73746572, 0, 1));
  });

  it('is answered with nothing where the name has no address of that type', () => {
    const empty = [0xab, 0xcd, 0x81, 0x90, 0, 1, 0, 0, 0, 0, 0, 0];
    for (const type of [AAAA, 15, 16, 64, 65, 255]) {
      assert.deepEqual(reply(query('only4.test', type)), [...empty, ...name('only4.test'), ...u16(type), 0, 1]);
    }
  });

  it('may be written in any case, and keeps it', () => {
    const mixed = 'HoSt.TAPSTER.internaL';
    const message = reply(query(mixed, A));
    assert.deepEqual(message.slice(12, 12 + name(mixed).length), name(mixed));
    assert.deepEqual(message.slice(-4), [10, 0, 2, 2]);
  });

  it('has an OPT record in the answer when it came with one', () => {
    const message = reply(query(NAME, A, { edns: true }));
    assert.deepEqual(message.slice(4, 12), [0, 1, 0, 1, 0, 0, 0, 1]);
    assert.deepEqual(message.slice(-11), [0, 0, 41, ...u16(1232), 0, 0, 0, 0, 0, 0]);
    assert.deepEqual(message.slice(-15, -11), [10, 0, 2, 2]);
  });

  it('is answered with as many addresses as there is room for, and the OPT record always', () => {
    const many = Array.from({ length: 30 }, (_, i) => ip(`fd00::${i + 1}`));
    const message = reply(query('many.test', AAAA, { edns: true }), new Map([['many.test', many]]));
    const answers = message[7];
    assert.ok(answers >= 4 && answers < 30);
    assert.equal(message.length, 12 + name('many.test').length + 4 + answers * 28 + 11);
    assert.equal(message[11], 1);
  });

  it('is found among many names, the longest too', () => {
    const longest = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(61)}`;
    const names: [string, ReturnType<typeof ip>[]][] = Array.from({ length: 100 }, (_, i) => [
      `n${i}.test`,
      [ip(`192.0.2.${i}`)],
    ]);
    const all = new Map([...names, [longest, [ip('192.0.2.200')]]] as typeof names);
    assert.deepEqual(reply(query('n42.test', A), all).slice(-4), [192, 0, 2, 42]);
    assert.deepEqual(reply(query(longest, A, { edns: true }), all).slice(-15, -11), [192, 0, 2, 200]);
  });

  it('is counted as lost when the arena is full', () => {
    const packets = new Packets(4096, 1);
    const sent = new Sent();
    assert.equal(
      run(new DnsInput(CONFIG, NAMES, sent), packets, receive(packets, over4(query(NAME, A)))),
      'arena-full',
    );
    assert.equal(sent.list.length, 0);
  });
});

describe('what is not for us', () => {
  const goesOn = (frame: Bytes): void => assert.deepEqual(ask(frame), { arc: ARC_NEXT, answer: undefined });

  it('goes on: other names, above, below and beside ours', () => {
    for (const other of [
      'example.org',
      'tapster.internal',
      `a.${NAME}`,
      `${NAME}.example.org`,
      'host.tapster.internam',
    ]) {
      goesOn(over4(query(other, A)));
    }
    goesOn(over4(query([0], A)));
  });

  it('goes on: other servers, ports, classes', () => {
    goesOn(over4(query(NAME, A), [9, 9, 9, 9]));
    goesOn(over4(query(NAME, A), DNS4, 5353));
    goesOn(over4(query(NAME, A, { class: 3 })));
  });

  it('goes on: what is no question, or more than one', () => {
    goesOn(over4(query(NAME, A, { flags: 0x8110 })));
    goesOn(over4(query(NAME, A, { flags: 0x2810 })));
    goesOn(over4(query(NAME, A, { counts: [0, 0, 0, 0, 0, 0, 0, 0] })));
    goesOn(over4(query(NAME, A, { counts: [0, 2, 0, 0, 0, 0, 0, 0] })));
  });

  it('goes on: names that are no names, or point around in circles', () => {
    goesOn(over4(query([0xc0, 12], A)));
    goesOn(over4(query([64, ...new Array<number>(64).fill(97), 0], A)));
    // The label's dot is part of the label.
    goesOn(over4(query([12, ...Buffer.from('host.tapster'), 8, ...Buffer.from('internal'), 0], A)));
  });

  it('goes on: a wrong checksum, and what is too long or several datagrams in one', () => {
    const wrong = over4(query(NAME, A));
    wrong[40] ^= 1;
    goesOn(wrong);
    goesOn(over4([...query(NAME, A), ...new Array<number>(512).fill(0)]));
    const packets = arena();
    const packet = receive(packets, over4(query(NAME, A)));
    packets.bytes[packets.start[packet] - 12 + 1] = 5;
    assert.equal(run(new DnsInput(CONFIG, NAMES, new Sent()), packets, packet), ARC_NEXT);
  });

  it('goes on: everything, for a guest without servers', () => {
    const packets = arena();
    const { ipv4: _ipv4, ipv6: _ipv6, ...neither } = CONFIG;
    const node = new DnsInput(CONFIG, NAMES, new Sent());
    node.configure(neither);
    assert.equal(run(node, packets, receive(packets, over4(query(NAME, A)))), ARC_NEXT);
    assert.equal(run(node, packets, receive(packets, over6(query(NAME, A)))), ARC_NEXT);
  });

  it('goes on: every question that is cut short', () => {
    const message = query(NAME, A, { edns: true });
    for (let length = 0; length < message.length; length++) goesOn(over4(message.slice(0, length)));
  });
});

describe('hostile questions', () => {
  it('do no harm', () => {
    const byte = fc.integer({ min: 0, max: 255 });
    const message = query(NAME, A, { edns: true });
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(message.length - 1), byte), { maxLength: 6 }), (changes) => {
        const changed = [...message];
        for (const [at, value] of changes) changed[at] = value;
        const { arc } = ask(over4(changed));
        assert.ok(arc === ARC_DONE || arc === ARC_NEXT);
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        const packets = arena();
        const packet = put(packets, over4([...bytes]));
        packets.network[packet] = packets.start[packet] + 14;
        packets.transport[packet] = packets.start[packet] + 34;
        assert.equal(run(new DnsInput(CONFIG, NAMES, new Sent()), packets, packet), ARC_NEXT);
      }),
    );
  });
});
