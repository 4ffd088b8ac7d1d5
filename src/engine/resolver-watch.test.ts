import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type IpAddress, parseIpAddress } from '../base/address.ts';
import { FlowTable, TARGET_WORDS } from '../flow/flow-table.ts';
import { HostPolicy } from '../flow/host-policy.ts';
import * as make from '../nodes/packet-fixtures.test.ts';
import { echoService } from '../sys/simulated/datagram-service.ts';
import { SimulatedSys } from '../sys/simulated.ts';
import { Bench } from '../translate/datagram-bench-fixture.test.ts';
import { ResolverWatch } from './resolver-watch.ts';

const DNS = [169, 254, 1, 53];
const SILENT = address('192.0.2.53');
const ANSWERING = address('198.51.100.53');

function address(text: string): IpAddress {
  const parsed = parseIpAddress(text);
  assert(parsed !== undefined);
  return parsed;
}

function makePolicy(): HostPolicy {
  return new HostPolicy({
    tcp: true,
    udp: true,
    icmp: true,
    allowMetadata: false,
    dnsAddresses: [address('169.254.1.53')],
    namedServers: [],
    resolvers: [
      { address: SILENT, scopeId: 0 },
      { address: ANSWERING, scopeId: 0 },
    ],
    loopbackAddresses: [],
    ownAddresses: [],
    guestAddresses: [],
    callerAddresses: [],
    scopeId: 0,
  });
}

function question(fromPort: number): number[] {
  const udp = make.udp(fromPort, 53, [1, 2, 3], make.GUEST4, DNS);
  return make.ethernet(0x800, make.ip4(17, udp, { to: DNS }));
}

/** A guest whose resolvers are those two, on a bench whose flows the watch hears of. */
function start(): { sys: SimulatedSys; bench: Bench } {
  const sys = new SimulatedSys({});
  const policy = makePolicy();
  const none = { opened: () => {}, closed: () => {} };
  let watch: ResolverWatch | undefined;
  const bench = new Bench(sys, { policy, closed: (flow) => watch?.closed(flow) });
  watch = new ResolverWatch(bench.flows, policy, none);
  return { sys, bench };
}

describe('the watch over resolvers', () => {
  it('gives a question that is repeated after 5 s to the next resolver', () => {
    const { sys, bench } = start();
    sys.network.datagram('192.0.2.53', 53, {});
    sys.network.datagram('198.51.100.53', 53, echoService);
    bench.turn(question(4000));
    sys.advance(5_000_000);
    bench.turn();
    assert.deepEqual(bench.ended, ['timeout 1 0']);
    bench.turn(question(4000));
    sys.advance(0);
    bench.turn();
    assert.equal(bench.taken().length, 1);
    bench.close();
    assert.deepEqual(sys.openDescriptors(), []);
  });

  it('moves on only from the resolver that was asked', () => {
    const policy = makePolicy();
    const flows = new FlowTable(4, 1);
    const watch = new ResolverWatch(flows, policy, { opened: () => {}, closed: () => {} });
    const ask = (port: number): number => {
      flows.setProbe(17, 0, 0, 0, 0xffff, 1, port, 0, 0, 0xffff, 0xa9fe0135 | 0, 53);
      const flow = flows.insert(0, 0);
      policy.decide(flows, flow);
      flows.packetsOut[flow] = 1;
      return flow;
    };
    const asked = (flow: number): number => flows.targets[flow * TARGET_WORDS + 3]!;
    const first = ask(1);
    const second = ask(2);
    watch.closed(first);
    watch.closed(second);
    assert.equal(asked(first), SILENT.w3);
    assert.equal(asked(ask(3)), ANSWERING.w3);
  });
});
