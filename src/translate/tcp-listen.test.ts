import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { formatIpWords, parseIpAddress } from '../base/address.ts';
import { HELD_CALLERS_MAX } from '../base/limits.ts';
import { KEY_GUEST, KEY_PORTS, KEY_REMOTE } from '../flow/flow-key.ts';
import { FlowTable } from '../flow/flow-table.ts';
import { NEIGHBOUR_PENDING, NO_NEIGHBOUR } from '../flow/neighbours.ts';
import type { PollHandler } from '../flow/poll-handler.ts';
import { ERRNO } from '../sys/errno.ts';
import { endpoint } from '../sys/simulated/endpoint.ts';
import type { SimulatedPeer } from '../sys/simulated/peer.ts';
import { SimulatedSys } from '../sys/simulated.ts';
import { SOCKET_ADDRESS_WORDS, SOCKET_FAMILY, SOCKET_PROTOCOL, SOCKET_TYPE } from '../sys/sys.ts';
import type { TcpTranslate } from './tcp.ts';
import { TcpListeners } from './tcp-listen.ts';

const PORT = 8080;
const GUEST = 0x0a00020f;

describe('published ports of TCP', () => {
  let sys: SimulatedSys;
  let poll: number;
  let listeners: TcpListeners;
  let handlers: Map<number, PollHandler>;
  /** What `find` gives, and how often it was asked. */
  let neighbour: number;
  let asked: number;
  /** Callers that became flows: guest and its port, caller and its port, MAC address. */
  let accepted: string[];
  let mapped: string[];

  beforeEach(() => {
    sys = new SimulatedSys();
    poll = sys.pollCreate();
    handlers = new Map();
    neighbour = 3;
    asked = 0;
    accepted = [];
    mapped = [];
    const flows = new FlowTable(4, 1);
    const tokens = {
      allocate: (handler: PollHandler): number => {
        handlers.set(-1 - handlers.size, handler);
        return -handlers.size;
      },
      release: (token: number): void => void handlers.delete(token),
    };
    const text = (at: number): string =>
      formatIpWords(flows.probe[at], flows.probe[at + 1], flows.probe[at + 2], flows.probe[at + 3]);
    const translate = {
      accepted: (_fd: number, high: number, low: number): boolean => {
        const ports = flows.probe[KEY_PORTS];
        accepted.push(`${text(KEY_GUEST)} ${ports >>> 16} ${text(KEY_REMOTE)} ${ports & 0xffff} ${high} ${low}`);
        return true;
      },
    };
    const neighbours = {
      find: (): number => {
        asked++;
        return neighbour;
      },
      macHigh: (_on: number, who: number): number => who,
      macLow: (_on: number, who: number): number => who * 10,
    };
    const callers = {
      map: (address: Int32Array, on: number, guest: Int32Array, at: number): void => {
        mapped.push(`${address[3] >>> 0} on ${on} for ${guest[at + 3] >>> 0}`);
      },
    };
    listeners = new TcpListeners(
      { sys, poll, flows, tokens },
      translate as unknown as TcpTranslate,
      neighbours,
      callers,
    );
  });

  function listen(port: number = PORT): number {
    const fd = sys.socket(SOCKET_FAMILY.INET, SOCKET_TYPE.STREAM, SOCKET_PROTOCOL.DEFAULT);
    assert.equal(sys.bind(fd, Int32Array.of(0, 0, 0xffff, 0, port, 0)), 0);
    assert.equal(sys.listen(fd, 20), 0);
    const guest = Int32Array.of(0, 0, 0xffff, GUEST);
    assert.equal(listeners.add({ fd, interfaceIndex: 2, guest, guestPort: 80 }), 0);
    return fd;
  }

  function call(port: number): SimulatedPeer {
    const caller = sys.network.call(endpoint('192.0.2.2', PORT), endpoint('203.0.113.9', port));
    sys.advance(1_000_000);
    turn();
    return caller;
  }

  function turn(): void {
    const events = new Int32Array(16);
    const count = sys.pollCollect(poll, events, 8, 0);
    for (let i = 0; i < count; i++) handlers.get(events[i * 2 + 1])?.ready(events[i * 2], events[i * 2 + 1]);
  }

  /** Ports of the callers that became flows. */
  function ports(): string[] {
    return accepted.map((line) => line.split(' ')[3]);
  }

  it('bring callers to the guest, under the address that they may be shown by', () => {
    listen();
    call(5000);
    assert.deepEqual(accepted, ['10.0.2.15 80 203.0.113.9 5000 3 30']);
    const caller = parseIpAddress('203.0.113.9')?.w3 ?? 0;
    assert.deepEqual(mapped, [`${caller >>> 0} on 2 for ${GUEST}`]);
  });

  it('let callers wait while the neighbour is asked for', () => {
    listen();
    neighbour = NEIGHBOUR_PENDING;
    call(5000);
    call(5001);
    listeners.retry();
    assert.deepEqual(accepted, []);
    neighbour = 4;
    listeners.retry();
    assert.deepEqual(ports(), ['5000', '5001']);
  });

  it('reset them when there is no such neighbour', () => {
    listen();
    neighbour = NEIGHBOUR_PENDING;
    const caller = call(5000);
    assert.notEqual(caller.state, 'reset');
    neighbour = NO_NEIGHBOUR;
    listeners.retry();
    sys.advance(1_000_000);
    assert.equal(caller.state, 'reset');
    assert.deepEqual(accepted, []);
  });

  it('hold callers that others have accepted while the neighbour is asked for', () => {
    const to = { interfaceIndex: 2, guest: Int32Array.of(0, 0, 0xffff, GUEST) };
    const fd = sys.socket(SOCKET_FAMILY.INET, SOCKET_TYPE.STREAM, SOCKET_PROTOCOL.DEFAULT);
    assert.equal(sys.bind(fd, Int32Array.of(0, 0, 0xffff, 0, PORT, 0)), 0);
    assert.equal(sys.listen(fd, HELD_CALLERS_MAX + 2), 0);
    const address = new Int32Array(SOCKET_ADDRESS_WORDS);
    const introduce = (port: number): SimulatedPeer => {
      const caller = call(port);
      listeners.introduce(to, 80, sys.accept(fd, address), address);
      return caller;
    };
    neighbour = NEIGHBOUR_PENDING;
    const held = Array.from({ length: HELD_CALLERS_MAX }, (_, i) => introduce(5000 + i));
    const beyond = introduce(4999);
    listeners.retry();
    sys.advance(1_000_000);
    assert.deepEqual([accepted.length, held[0]?.state, beyond.state], [0, 'connected', 'reset']);
    neighbour = 3;
    listeners.retry();
    assert.deepEqual(ports().slice(0, 2), ['5000', '5001']);
    assert.equal(accepted.length, HELD_CALLERS_MAX);
    neighbour = NEIGHBOUR_PENDING;
    const late = [introduce(6000), introduce(6001)];
    neighbour = NO_NEIGHBOUR;
    listeners.retry();
    sys.advance(1_000_000);
    assert.deepEqual(
      late.map(({ state }) => state),
      ['reset', 'reset'],
    );
  });

  it('ask for nobody as long as nobody calls', () => {
    listen();
    for (let i = 0; i < 5; i++) listeners.retry();
    assert.equal(asked, 0);
    call(5000);
    assert.equal(asked, 1);
    for (let i = 0; i < 5; i++) listeners.retry();
    assert.equal(asked, 1);
  });

  it('try again when there was no descriptor', () => {
    listen();
    const accept = sys.accept.bind(sys);
    sys.accept = () => -ERRNO.EMFILE;
    call(5000);
    listeners.retry();
    assert.deepEqual(accepted, []);
    sys.accept = accept;
    listeners.retry();
    assert.equal(accepted.length, 1);
  });

  it('go while the engine runs', () => {
    const fd = listen();
    neighbour = NEIGHBOUR_PENDING;
    const caller = call(5000);
    assert.equal(listeners.remove(fd), true);
    assert.equal(listeners.remove(fd), false);
    neighbour = 3;
    listeners.retry();
    sys.advance(1_000_000);
    assert.deepEqual(accepted, []);
    assert.notEqual(caller.state, 'connected');
    assert.equal(handlers.size, 0);
    listen();
    call(5002);
    assert.equal(accepted.length, 1);
    listeners.closeAll();
    assert.deepEqual(
      sys.openDescriptors().filter((each) => each.includes('listening')),
      [],
    );
  });
});
