import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { OUTCOME_NAMES } from '../flow/flow-table.ts';
import { endpoint } from '../sys/simulated/endpoint.ts';
import { SOCKET_FAMILY, SOCKET_PROTOCOL, SOCKET_TYPE } from '../sys/sys.ts';
import { SimulatedTurns } from './splice-fixture.test.ts';
import { SpliceUdp } from './splice-udp.ts';

const PORT = 5353;
const TARGET_PORT = 53;
const SECOND_US = 1_000_000;

describe('datagrams between two loopback interfaces', () => {
  let turns: SimulatedTurns;
  let udp: SpliceUdp;
  let fd: number;
  /** Where from each datagram came to the target, and what it was. */
  let received: string[];

  beforeEach(() => {
    turns = new SimulatedTurns();
    received = [];
    turns.sys.network.datagram('198.51.100.7', TARGET_PORT, {
      answer: (payload, from) => {
        received.push(`${from.port} ${new TextDecoder().decode(payload)}`);
        return [payload];
      },
    });
    begin(8);
  });

  function begin(sendersMax: number): void {
    udp = new SpliceUdp(turns.deps, { sendersMax, random: () => 42 });
    fd = turns.sys.socket(SOCKET_FAMILY.INET, SOCKET_TYPE.DGRAM, SOCKET_PROTOCOL.DEFAULT);
    assert.equal(turns.sys.bind(fd, Int32Array.of(0, 0, 0xffff, 0x7f000001, PORT, 0)), 0);
    assert.equal(udp.add({ fd, target: turns.target, port: TARGET_PORT }), 0);
  }

  function say(from: number, text: string): void {
    turns.sys.network.send(endpoint('127.0.0.1', from), endpoint('127.0.0.1', PORT), new TextEncoder().encode(text));
  }

  function end(): void {
    udp.closeAll();
    turns.sys.close(turns.deps.poll);
    assert.deepEqual(turns.sys.openDescriptors(), []);
    assert.equal(turns.sys.memories.count, 0);
    assert.equal(turns.handlers.size, 0);
  }

  it('come from one socket for each sender, and answers go back', () => {
    for (const text of ['one', 'two']) for (const from of [1001, 1002]) say(from, text);
    turns.run(10);
    assert.deepEqual(received.map((line) => line.split(' ')[1]).sort(), ['one', 'one', 'two', 'two']);
    assert.equal(new Set(received.map((line) => line.split(' ')[0])).size, 2);
    const { senders, datagramsToTargets, datagramsToSenders, bytesToSenders, dropped } = udp.counters;
    // Answers of one size to one sender were received as segments of one.
    assert.deepEqual([senders, datagramsToTargets, datagramsToSenders, bytesToSenders], [2, 4, 2, 12]);
    assert.equal(dropped, 0);
    end();
  });

  it('are forgotten after 30 s without an answer, and 120 s with one', () => {
    say(1001, 'asked');
    turns.run(10);
    turns.sys.network.datagram('198.51.100.7', TARGET_PORT, { answer: () => [] });
    say(1002, 'never answered');
    turns.run(10);
    assert.equal(udp.count, 2);
    turns.run(1, 31 * SECOND_US);
    udp.housekeep();
    assert.equal(udp.count, 1);
    turns.run(1, 90 * SECOND_US);
    udp.housekeep();
    assert.equal(udp.count, 0);
    end();
  });

  it('make place for others when there are too many', () => {
    for (let from = 2000; from < 2020; from++) {
      say(from, 'hello');
      turns.run(3);
    }
    assert.equal(received.length, 20);
    assert.deepEqual([udp.count, udp.counters.displaced], [8, 12]);
    // The newest are still there, by whatever chain.
    for (let from = 2012; from < 2020; from++) say(from, 'again');
    turns.run(10);
    assert.equal(udp.counters.senders, 20);
    end();
  });

  it('are dropped and counted where there are no sockets', () => {
    turns.sys.faults.plan = { socket: { noDescriptors: 1 } };
    say(1001, 'lost');
    turns.run(10);
    assert.deepEqual([udp.counters.dropped, udp.count], [1, 0]);
    end();
  });

  it('are told of: who begins, is answered and ends, how, and with how many bytes', () => {
    const told: string[] = [];
    udp.observer = {
      begun: (sender, to, port) => {
        const { caller, called } = udp.connection(sender);
        told.push(`${sender} begun ${caller[4]} ${called[4]} ${port} ${to === turns.target}`);
      },
      connected: (sender) => told.push(`${sender} connected`),
      ended: (sender, outcome) => {
        const { bytesToTarget, bytesToCaller } = udp.connection(sender);
        told.push(`${sender} ${OUTCOME_NAMES[outcome]} ${bytesToTarget} ${bytesToCaller}`);
      },
    };
    say(1001, 'asked');
    say(1001, 'twice');
    turns.run(10);
    turns.sys.network.datagram('198.51.100.7', TARGET_PORT, { answer: () => [] });
    say(1002, 'unheard');
    turns.run(10);
    turns.run(1, 31 * SECOND_US);
    udp.housekeep();
    say(1003, 'cut off');
    turns.run(10);
    end();
    const begun = (sender: number, from: number): string => `${sender} begun ${from} ${PORT} ${TARGET_PORT} true`;
    assert.deepEqual(told, [
      begun(0, 1001),
      '0 connected',
      begun(1, 1002),
      '1 timeout 7 0',
      begun(1, 1003),
      '0 closed 10 10',
      '1 killed 7 0',
    ]);
  });

  it('go on when a target was not there', () => {
    turns.sys.network.datagram('198.51.100.7', TARGET_PORT, { answer: () => [] });
    say(1001, 'hello');
    turns.run(10);
    assert.ok(udp.remove(fd));
    assert.equal(udp.remove(fd), false);
    assert.equal(udp.count, 0);
    begin(8);
    say(1001, 'hello again');
    turns.run(10);
    assert.equal(udp.counters.datagramsToTargets, 1);
    udp.closeAll();
  });
});
