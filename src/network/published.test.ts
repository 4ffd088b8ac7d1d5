import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { parseIpAddress } from '../base/address.ts';
import type { PublishConfig } from '../config/config.ts';
import { parsePublish } from '../config/publish.ts';
import { NEIGHBOUR_PENDING } from '../flow/neighbours.ts';
import * as make from '../nodes/packet-fixtures.test.ts';
import { endpoint } from '../sys/simulated/endpoint.ts';
import { SimulatedSys } from '../sys/simulated.ts';
import { Bench } from '../translate/datagram-bench-fixture.test.ts';
import type { TcpTranslate } from '../translate/tcp.ts';
import { TcpListeners } from '../translate/tcp-listen.ts';
import { type Guests, PublishedPorts } from './published.ts';

const LINK = 0;
const GUESTS: Guests = { ipv4: parseIpAddress('10.0.2.15'), ipv6: parseIpAddress('2001:db8::15') };
const CALLER = endpoint('198.51.100.9', 777);

function rule(text: string): PublishConfig {
  const parsed = parsePublish(text);
  assert.ok(typeof parsed !== 'string', `${text}: ${parsed}`);
  return parsed;
}

describe('published ports of interfaces', () => {
  let sys: SimulatedSys;
  let bench: Bench;
  let published: PublishedPorts;

  beforeEach(() => {
    sys = new SimulatedSys();
    bench = new Bench(sys);
    const { flows, neighbours } = bench;
    neighbours.learn(LINK, 0, 0, 0xffff, 0x0a00020f, 0x0200, 1);
    let token = -100;
    const tokens = { allocate: (): number => --token, release: (): void => {} };
    const deps = { sys, poll: sys.pollCreate(), flows, tokens };
    const tcp = new TcpListeners(deps, {} as TcpTranslate, neighbours, { map: () => {} });
    published = new PublishedPorts(sys, tcp, bench.udp);
  });

  function add(texts: string[], guests: Guests = GUESTS): string {
    const added = published.add(LINK, texts.map(rule), guests);
    return added.ok ? 'added' : `${added.failure.code}: ${added.failure.message}`;
  }

  function sockets(): number {
    return sys.openDescriptors().filter((each) => !each.includes('poll')).length;
  }

  /** Sends a datagram to port 8053 of the host. Returns the ports that the guest got it at. */
  function call(from = CALLER): number[] {
    sys.network.send(from, endpoint('203.0.113.1', 8053), Uint8Array.of(5));
    return heard();
  }

  function heard(): number[] {
    sys.advance(0);
    for (let i = 0; i < 4; i++) bench.turn();
    return bench.taken().map(({ frame }) => (frame[36] << 8) | frame[37]);
  }

  function answer(): void {
    const datagram = make.udp(53, CALLER.port, [6], make.GUEST4, [198, 51, 100, 9]);
    bench.turn(make.ethernet(0x800, make.ip4(17, datagram, { to: [198, 51, 100, 9] })));
  }

  it('are opened in the families that can be led somewhere', () => {
    const before = sockets();
    assert.equal(add(['8080:80']), 'added');
    assert.equal(sockets() - before, 2);
    assert.equal(add(['8081:80'], { ipv4: GUESTS.ipv4 }), 'added');
    assert.equal(sockets() - before, 3);
    assert.equal(add(['8082:[2001:db8::99]:80'], {}), 'added');
    assert.equal(sockets() - before, 4);
    assert.equal(published.count, 3);
    published.removeAll(LINK);
    assert.equal(sockets(), before);
  });

  it('are refused where nobody can be led anywhere', () => {
    assert.match(add(['8080'], {}), /^family-missing: .* 8080:8080\/tcp: nobody behind the interface .* an IP address/);
    assert.match(add(['[::1]:80'], { ipv4: GUESTS.ipv4 }), /known to have an IPv6 address/);
    assert.match(add(['[::1]:80:10.0.0.2:80']), /callers of ::1 can't be led to 10\.0\.0\.2/);
  });

  it('are all there or none', () => {
    const before = sockets();
    assert.equal(add(['9000-9002/udp']), 'added');
    const some = sockets();
    assert.match(add(['8080', '8081/udp', '9002:1/udp']), /^port-in-use: .*9002/);
    assert.equal(sockets(), some);
    assert.equal(published.count, 1);
    assert.equal(published.remove(LINK, rule('9000-9002:9000/udp')), true);
    assert.equal(published.remove(LINK, rule('9000-9002:9000/udp')), false);
    assert.equal(published.remove(LINK + 1, rule('8080')), false);
    assert.equal(sockets(), before);
  });

  it('let datagrams wait in the socket while the neighbour is asked for', () => {
    assert.equal(add(['8053:53/udp']), 'added');
    const find = bench.neighbours.find.bind(bench.neighbours);
    bench.neighbours.find = () => NEIGHBOUR_PENDING;
    assert.deepEqual(call(), []);
    assert.deepEqual(call(), []);
    bench.udp.retry();
    assert.deepEqual(heard(), []);
    bench.neighbours.find = find;
    assert.deepEqual(heard(), [], 'nobody has said so yet');
    bench.udp.retry();
    assert.deepEqual(heard(), [53, 53]);
    assert.deepEqual(call(), [53]);
  });

  it('leave their flows when they go, and take nobody new', () => {
    assert.equal(add(['8053:53/udp']), 'added');
    assert.deepEqual(call(), [53]);
    published.removeAll(LINK);
    assert.deepEqual(call(), [53]);
    const got: number[] = [];
    const answerOf = (payload: Uint8Array): Uint8Array[] => {
      got.push(...payload);
      return [];
    };
    sys.network.datagram('198.51.100.9', 777, { answer: answerOf });
    answer();
    sys.advance(0);
    assert.deepEqual(got, [6]);
    assert.deepEqual(call(endpoint('198.51.100.9', 778)), []);
  });

  it('end those flows when the port is needed again', () => {
    const before = sockets();
    assert.equal(add(['8053:53/udp']), 'added');
    assert.deepEqual(call(), [53]);
    published.removeAll(LINK);
    assert.equal(sockets(), before + 1);
    assert.equal(add(['8053:54/udp']), 'added');
    assert.equal(bench.flows.count, 0);
    assert.deepEqual(call(), [54]);
    published.removeAll(LINK);
    bench.close();
    assert.equal(sockets(), before);
  });
});
