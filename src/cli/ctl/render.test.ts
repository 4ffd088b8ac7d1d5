/** Answers as people see them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import type { TableLayout } from '../../engine/table-layout.ts';
import type { BridgeView, CaptureView, FlowView, InterfaceView, RouteView, TraceView } from '../../network/views.ts';
import { applyText } from '../apply-command.ts';
import { captureEnded, captureTable } from './render/captures.ts';
import { configurationText } from './render/configuration.ts';
import { engineText } from './render/engine.ts';
import { eventLines } from './render/events.ts';
import { bridgeTable, flowTable, neighbourTable, routeTable, stationTable } from './render/forwarding.ts';
import {
  addressTable,
  hardwareText,
  interfaceTable,
  interfaceText,
  placementTable,
  tapText,
} from './render/interfaces.ts';
import { errorTable, nodeNames, runtimeTable, threadTable, traceText } from './render/looking.ts';
import { pingText } from './render/ping.ts';

const PLAIN: TableLayout = { columns: 80, colours: false };
const COLOURED: TableLayout = { columns: 80, colours: true };

const COUNTERS = { rxPackets: 12, rxBytes: 1234, txPackets: 3, txBytes: 300, txErrors: 1, rxDrops: 2 };

const TAP0: InterfaceView = {
  name: 'tap0',
  index: 0,
  kind: 'tap',
  up: true,
  linkUp: true,
  mac: '02:fe:00:00:00:01',
  mtu: 1500,
  promiscuous: false,
  addresses: ['10.0.0.1/24', 'fd00::1/64'],
  services: ['dhcp'],
  counters: COUNTERS,
};

const MEMBER: InterfaceView = {
  ...TAP0,
  name: 'tap1.100',
  index: 12,
  kind: 'vlan',
  vlan: 100,
  parent: 'tap1',
  up: false,
  linkUp: false,
  addresses: [],
  bridge: 'lan',
  splitHorizonGroup: 3,
  counters: { ...COUNTERS, rxDrops: 0, txErrors: 0 },
};

function shows(actual: string, lines: readonly string[]): void {
  assert.equal(actual, `${lines.join('\n')}\n`);
}

describe('show', () => {
  it('interface', () => {
    shows(interfaceTable([TAP0, MEMBER], PLAIN), [
      'NAME      IDX  STATE  LINK   MTU  BRIDGE         ADDRESS         RX PKTS  RX BYTES  TX PKTS  TX BYTES  DROPS',
      'tap0        0  up     up    1500                 10.0.0.1/24 +1       12   1.23 kB        3     300 B      3',
      'tap1.100   12  down   down  1500  lan (group 3)                       12   1.23 kB        3     300 B      0',
    ]);
    const byLink = { ...TAP0, addresses: ['fe80::1/64', '10.0.0.1/24'] };
    assert.match(interfaceTable([byLink], PLAIN), / 10\.0\.0\.1\/24 \+1 /);
    shows(interfaceText({ name: 'tap1.100', interface: MEMBER }, PLAIN), [
      'tap1.100',
      '  index     12',
      '  kind      vlan 100 of tap1',
      '  state     down',
      '  link      down',
      '  mac       02:fe:00:00:00:01',
      '  mtu       1500 bytes',
      '  bridge    lan (group 3)',
      '  services  dhcp',
      '  received  12 packets, 1.23 kB, 0 dropped',
      '  sent      3 packets, 300 B, 0 not taken',
    ]);
    assert.match(interfaceText({ name: 'tap9' }, PLAIN), /not there now/);
    shows(addressTable([TAP0, MEMBER], PLAIN), [
      'NAME      STATE  ADDRESS',
      'tap0      up     10.0.0.1/24',
      '                 fd00::1/64',
      'tap1.100  down   in bridge lan',
    ]);
  });

  it('hardware-interfaces, rx-placement, tap', () => {
    const hardware = {
      name: 'tap0',
      index: 0,
      device: 'tap',
      backend: 'read-write' as const,
      linkUp: true,
      queues: [
        { queue: 0, worker: 0, mode: 'polling' as const },
        { queue: 1, worker: 1, mode: 'adaptive' as const },
      ],
      offloads: ['csum', 'tso4'],
      software: { segmented: 1, segments: 45, checksummed: 2, dropped: 0, joined: 90, joinedFrames: 3 },
    };
    shows(hardwareText([hardware], PLAIN), [
      'tap0',
      '  device       tap by read-write',
      '  link         up',
      '  queues       0 on worker 0 (polling), 1 on worker 1 (adaptive)',
      '  offloads     csum, tso4',
      '  in software  1 frame cut into 45, 90 joined into 3, 2 checksums, 0 dropped',
    ]);
    const machine = { ...hardware, device: 'stream', backend: 'socket' as const, socket: '/run/vm0.sock' };
    assert.match(hardwareText([machine], PLAIN), /device +stream by socket\n +socket +\/run\/vm0.sock\n/);
    shows(placementTable([hardware], PLAIN), [
      'NAME  QUEUE  WORKER  MODE',
      'tap0      0       0  polling',
      'tap0      1       1  adaptive',
    ]);
    const tap = {
      name: 'tap0',
      index: 0,
      id: 0,
      mac: '02:fe:00:00:00:01',
      up: true,
      mode: 'tap' as const,
      backend: 'vhost-net' as const,
      rxQueues: 2,
      txQueues: 2,
      rxRingSize: 256,
      txRingSize: 512,
      offload: 'gso' as const,
      groCoalesce: true,
      persist: true,
      attach: false,
      host: {
        name: 'eth0',
        index: 4,
        namespace: 'red',
        mac: '02:00:00:00:00:01',
        mtu: 1500,
        addresses: ['10.0.0.2/24'],
        gateways: ['10.0.0.1'],
        up: true,
        carrier: true,
      },
    };
    shows(tapText([tap], PLAIN), [
      'tap0',
      '  id              0 (tap, persist), vhost-net',
      '  tap mac         02:fe:00:00:00:01',
      '  admin state     up',
      '  tap queues      2 rx of 256, 2 tx of 512',
      '  offload         gso with gro-coalesce',
      '  host name       eth0 (4)',
      '  host ns         red',
      '  host mac        02:00:00:00:00:01',
      '  host mtu        1500 bytes',
      '  host addresses  10.0.0.2/24',
      '  host gateways   10.0.0.1',
      '  host state      up, carrier up',
    ]);
  });

  it('bridge-domain, l2fib', () => {
    const bridge: BridgeView = {
      name: 'lan',
      learn: true,
      flood: false,
      ageingSeconds: 0,
      bvi: 'bvi.lan',
      members: [
        { interface: 'tap1', splitHorizonGroup: 0 },
        { interface: 'tap2', splitHorizonGroup: 1 },
      ],
      stations: 1,
      counters: { flooded: 3, learnLimit: 0 },
    };
    shows(bridgeTable([bridge], PLAIN), [
      'lan',
      '  members   tap1, tap2 (group 1)',
      '  bvi       bvi.lan',
      '  learn     on',
      '  flood     off',
      '  ageing    never',
      '  stations  1 station',
      '  frames    3 flooded',
    ]);
    const station = {
      bridge: 'lan',
      mac: '02:00:00:00:00:01',
      interface: 'tap1',
      kind: 'learnt' as const,
      ageSeconds: 12.4,
    };
    shows(stationTable([station], PLAIN), [
      'BRIDGE  MAC                INTERFACE  KIND     AGE',
      'lan     02:00:00:00:00:01  tap1       learnt  12 s',
    ]);
  });

  it('ip fib, ip neighbors', () => {
    const counted = { weight: 1, packets: 1, bytes: 64 };
    const routes: RouteView[] = [
      {
        to: '0.0.0.0/0',
        origin: 'configured',
        via: [
          { kind: 'address', address: '10.0.0.2', interface: 'tap0', ...counted, weight: 3 },
          { kind: 'uplink', ...counted },
        ],
      },
      { to: '10.0.0.0/24', origin: 'connected', via: [{ kind: 'connected', interface: 'tap0', ...counted }] },
      { to: '10.0.0.1/32', origin: 'local', via: [{ kind: 'local', interface: 'tap0', ...counted }] },
    ];
    shows(routeTable(routes, PLAIN), [
      'PREFIX       ORIGIN      VIA               WEIGHT  PKTS  BYTES',
      '0.0.0.0/0    configured  10.0.0.2 on tap0       3     1   64 B',
      '                         uplink                 1     1   64 B',
      '10.0.0.0/24  connected   tap0                         1   64 B',
      '10.0.0.1/32  local       us, on tap0                  1   64 B',
    ]);
    const neighbours = [
      { interface: 'tap0', address: '10.0.0.2', mac: '02:00:00:00:00:01', state: 'reachable', waiting: 0 },
      { interface: 'tap0', address: '10.0.0.3', state: 'incomplete', waiting: 2 },
    ];
    shows(neighbourTable(neighbours, PLAIN), [
      'INTERFACE  ADDRESS   MAC                STATE       WAITING',
      'tap0       10.0.0.2  02:00:00:00:00:01  reachable',
      'tap0       10.0.0.3  unknown            incomplete        2',
    ]);
  });

  it('flows, and makes names of the network harmless', () => {
    const flow: FlowView = {
      id: 7,
      interface: 'tap0',
      protocol: 'tcp',
      direction: 'out',
      guest: '10.0.0.2:40000',
      remote: '192.0.2.1:443',
      name: 'evil\u001b[2J.example',
      outcome: 'established',
      packetsOut: 1,
      packetsIn: 1,
      bytesOut: 100,
      bytesIn: 2000,
      durationMs: 1500,
      rttUs: 1234,
    };
    const text = flowTable([flow], PLAIN);
    assert.ok(!text.includes('\u001b'));
    shows(text, [
      'ID  INTERFACE  PROTO  GUEST               REMOTE                               OUTCOME       SENT  RECEIVED    TIME      RTT',
      ' 7  tap0       tcp    10.0.0.2:40000  ->  evil\\x1b[2J.example (192.0.2.1:443)  established  100 B   2.00 kB  1.50 s  1.23 ms',
    ]);
  });

  it('runtime, errors, threads, node names', () => {
    const node = {
      node: 'ip4-lookup',
      worker: 0,
      calls: 2,
      vectors: 2,
      packets: 512,
      packetsPerVector: 256,
      packetsMax: 256,
    };
    const nodes = [
      { ...node, nsPerPacket: 12.34 },
      { ...node, node: 'idle', calls: 0 },
    ];
    shows(runtimeTable(nodes, PLAIN), [
      'NODE        WORKER  CALLS  VECTORS  PKTS  PKTS/VECTOR  MAX  NS/PKT',
      'ip4-lookup       0      2        2   512       256.00  256    12.3',
    ]);
    const untimed = [node];
    assert.match(
      runtimeTable(untimed, PLAIN),
      /256\.00 +256\nNodes are timed from now on: ask again for ns per packet\.\n$/,
    );
    shows(errorTable([{ node: 'ip4-input', reason: 'bad checksum', packets: 4 }], PLAIN), [
      'PKTS  NODE       REASON',
      '   4  ip4-input  bad checksum',
    ]);
    shows(
      threadTable([{ worker: 0, name: 'main', thread: 77, queues: ['tap0:0'], turns: 9, busyRatio: 0.125 }], PLAIN),
      ['WORKER  NAME  THREAD  TURNS    BUSY  QUEUES', '     0  main      77      9  12.5 %  tap0:0'],
    );
    shows(nodeNames(['a', 'b']), ['a', 'b']);
  });

  it('trace', () => {
    const trace: TraceView = {
      number: 1,
      interface: 'tap0',
      frameBytes: 98,
      hops: [
        { node: 'ethernet-input', atUs: 1000, text: '02:00 > 02:01\nIPv4', decision: 'to ip4-input' },
        { node: 'ip4-input', atUs: 1012.5, text: '', decision: 'dropped: bad-checksum' },
      ],
      hopsLeftOut: 2,
    };
    shows(traceText([trace], PLAIN), [
      'packet 1 from tap0, 98 bytes',
      '     0.0 us  ethernet-input  to ip4-input',
      '             02:00 > 02:01',
      '             IPv4',
      '    12.5 us  ip4-input  dropped: bad-checksum',
      '             and 2 more nodes',
    ]);
  });

  it('pcap', () => {
    const capture: CaptureView = {
      name: 'tap0',
      interface: 'tap0',
      file: '/tmp/a b.pcapng',
      directions: ['rx', 'tx'],
      filter: 'tcp',
      packetsMax: 10,
      packets: 10,
      bytes: 1000,
      filtered: 3,
      active: false,
      ended: 'as many packets as were wanted',
    };
    shows(captureTable([capture], PLAIN), [
      'NAME  INTERFACE  WAYS   STATE                                      PKTS    BYTES  FILTERED  FILTER  FILE',
      'tap0  tap0       rx tx  ended: as many packets as were wanted  10 of 10  1.00 kB         3  tcp     /tmp/a b.pcapng',
    ]);
    shows(captureEnded([capture]), ['tap0: 10 packets, 1.00 kB in /tmp/a b.pcapng']);
  });

  it('version, event-log, configuration', () => {
    const unmet = [{ part: 'interface tap0', code: 'namespace-unknown', message: 'there is no namespace red' }];
    shows(engineText({ name: 'main', version: '1.2.3', pid: 7, uptimeSeconds: 61, revision: 4, unmet }, PLAIN), [
      'engine         main',
      'version        1.2.3',
      'process        7',
      'running for    1 min 1 s',
      'configuration  revision 4',
      'not as configured',
      '  interface tap0: there is no namespace red',
    ]);
    shows(eventLines([{ id: 1, at: 0, type: 'interface', event: 'interface-up', message: 'tap0' }], PLAIN), [
      '1970-01-01 00:00:00.000Z interface-up tap0',
    ]);
    const tap0 = { address: [], mtu: 1400, services: { dns: { servers: [] } } };
    shows(configurationText({ bridges: {}, interfaces: { tap0 } }), [
      'interfaces:',
      '  tap0:',
      '    mtu: 1400',
      '    services:',
      '      dns: {}',
    ]);
  });

  it('says where there is nothing', () => {
    assert.equal(interfaceTable([], PLAIN), 'no interfaces\n');
    assert.equal(bridgeTable([], PLAIN), 'no bridges\n');
    assert.equal(stationTable([], PLAIN), 'no stations\n');
    assert.equal(routeTable([], PLAIN), 'no routes\n');
    assert.equal(neighbourTable([], PLAIN), 'no neighbours\n');
    assert.equal(flowTable([], PLAIN), 'no flows\n');
    assert.equal(errorTable([], PLAIN), 'no errors\n');
    assert.equal(captureTable([], PLAIN), 'no captures\n');
    assert.equal(tapText([], PLAIN), 'no taps\n');
    assert.equal(eventLines([], PLAIN), 'no events\n');
  });

  it('has colours where they are wanted, and columns stay where they are', () => {
    const coloured = interfaceTable([TAP0, MEMBER], COLOURED);
    assert.ok(coloured.includes('\u001b[31mdown'));
    assert.equal(stripVTControlCharacters(coloured), interfaceTable([TAP0, MEMBER], PLAIN));
  });
});

describe('ping and apply', () => {
  it('tell what happened', () => {
    const replies = [
      { sequence: 1, from: '10.0.0.2', bytes: 64, rttUs: 500, ttl: 64 },
      { sequence: 2, from: '10.0.0.1', bytes: 0, error: 'host unreachable' },
    ];
    shows(pingText({ address: '10.0.0.2', sent: 2, received: 1, replies }), [
      '64 bytes from 10.0.0.2: seq=1 ttl=64 time=0.500 ms',
      '10.0.0.1: seq=2 host unreachable',
      '10.0.0.2: 2 sent, 1 received, 50 % lost, rtt min/avg/max 0.500/0.500/0.500 ms',
    ]);
    const actions = [
      { action: 'remove', part: 'route ::/0', text: '- route ::/0' },
      { action: 'add', part: 'bridge lan', text: '+ bridge lan' },
    ] as const;
    shows(applyText({ revision: 3, dryRun: false, actions }, PLAIN), [
      '- route ::/0',
      '+ bridge lan',
      '2 actions done: revision 3',
    ]);
    shows(applyText({ revision: 3, dryRun: true, actions: actions.slice(1) }, PLAIN), [
      '+ bridge lan',
      '1 action to do; nothing was changed',
    ]);
    assert.match(applyText({ revision: 3, dryRun: false, actions: [] }, PLAIN), /^nothing to change/);
  });
});
