/** What each command asks of the engine. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { ApiError } from '../../control/api-error.ts';
import type { EventView } from '../../network/views.ts';
import { type Call, fakeClient } from './fake-client-fixture.test.ts';
import { readLine } from './line.ts';
import { type Outcome, Session } from './session.ts';

const CONFIGURATION = {
  revision: 7,
  document: {
    interfaces: {
      vm0: { vhostUser: { socket: '/run/vm0.sock' } },
      tap0: {
        tap: { id: 0, placement: [] },
        address: ['10.0.0.1/24'],
        publish: ['8080:80/tcp'],
        vlans: { '100': { address: ['10.1.0.1/24'] } },
      },
      tap2: { tap: {} },
    },
    bridges: { lan: { bvi: { address: [] } } },
    routes: [{ to: '10.5.0.0/16', via: ['10.0.0.2', { via: 'tap2', weight: 2 }] }],
  },
};

const ANSWERS = {
  configuration: CONFIGURATION,
  taps: [{ name: 'tap0', id: 0 }],
  captures: [
    { name: 'a', active: true, packets: 2, bytes: 120, file: '/tmp/a.pcapng' },
    { name: 'b', active: false, packets: 0, bytes: 0, file: '/tmp/b.pcapng' },
  ],
  stopCapture: { name: 'a', active: false, packets: 2, bytes: 120, file: '/tmp/a.pcapng' },
  startCapture: { name: 'tap0', interface: 'tap0', file: '/x' },
  hardware: [{ name: 'tap0', queues: [0, 1, 2].map((queue) => ({ queue, worker: queue % 2, mode: 'interrupt' })) }],
  ping: { address: '10.0.0.2', sent: 0, received: 0, replies: [] },
};

interface Told {
  readonly outcome: Outcome;
  readonly calls: readonly Call[];
  readonly out: string;
  readonly error: string;
}

async function tell(text: string, answers: Readonly<Record<string, unknown>> = ANSWERS): Promise<Told> {
  const calls: Call[] = [];
  let [out, error] = ['', ''];
  const session = new Session({
    connect: async () => fakeClient(calls, answers),
    out: (more) => {
      out += more;
    },
    error: (more) => {
      error += more;
    },
    layout: { columns: 80, colours: false },
  });
  const outcome = await session.run(readLine(text));
  return { outcome, calls, out, error };
}

/** The one change that a command asks for; questions are left out. */
async function change(text: string): Promise<Call> {
  const { outcome, calls, error } = await tell(text);
  assert.equal(outcome, 'done', `${text}: ${error}`);
  const changes = calls.filter(([method]) => !(method in ANSWERS) || /ping|Capture/.test(method));
  assert.equal(changes.length, 1, text);
  return changes[0]!;
}

const AT_REVISION = { ifRevision: 7 };

describe('changes', () => {
  const samples: readonly (readonly [string, Call])[] = [
    ['create tap', ['createInterface', 'tap1', { tap: { id: 1 } }]],
    [
      'create tap id 9 if-name lab host-ns red host-if-name eth0 host-ip4-addr 10.0.0.2/24 host-ip6-addr fd00::2/64 host-ip4-gw 10.0.0.1 num-rx-queues 2 gso gro-coalesce',
      [
        'createInterface',
        'lab',
        {
          tap: {
            id: 9,
            host: { name: 'eth0', namespace: 'red', address: ['10.0.0.2/24', 'fd00::2/64'], gateway: ['10.0.0.1'] },
            queues: 2,
            offload: 'gso',
            groCoalesce: true,
          },
        },
      ],
    ],
    [
      'create tap id 9 hw-addr 02:fe:00:00:00:01 rx-ring-size 512 host-bridge br0 host-mac-addr 02:00:00:00:00:01 host-mtu-size 1400 csum-offload persist tun backend read-write',
      [
        'createInterface',
        'tap9',
        {
          tap: {
            id: 9,
            host: { bridge: 'br0', mac: '02:00:00:00:00:01', mtu: 1400 },
            ringSizes: { rx: 512 },
            offload: 'csum',
            persist: true,
            mode: 'tun',
            backend: 'read-write',
          },
          mac: '02:fe:00:00:00:01',
        },
      ],
    ],
    [
      'create tap id 9 attach host-if-name t no-gso',
      ['createInterface', 'tap9', { tap: { id: 9, host: { name: 't' }, offload: 'none', attach: true } }],
    ],
    ['delete tap tap0', ['deleteInterface', 'tap0']],
    ['create stream vm0 socket /run/vm0.sock', ['createInterface', 'vm0', { stream: { socket: '/run/vm0.sock' } }]],
    [
      'create vhost-user vm1 queues 2 hw-addr 02:fe:00:00:00:01 socket /run/vm1.sock',
      ['createInterface', 'vm1', { vhostUser: { socket: '/run/vm1.sock', queues: 2 }, mac: '02:fe:00:00:00:01' }],
    ],
    [
      'create datagram vm2 peer /run/vm2.qemu socket /run/vm2.sock',
      ['createInterface', 'vm2', { datagram: { socket: '/run/vm2.sock', peer: '/run/vm2.qemu' } }],
    ],
    ['delete stream vm0', ['deleteInterface', 'vm0']],
    ['delete vhost-user vm1', ['deleteInterface', 'vm1']],
    ['tap connect vpp0', ['createInterface', 'tap-1', { tap: { id: 1, host: { name: 'vpp0' } } }]],
    [
      'tap connect vpp0 hwaddr 02:fe:00:00:00:01 id 7',
      ['createInterface', 'tap-7', { tap: { id: 7, host: { name: 'vpp0' } }, mac: '02:fe:00:00:00:01' }],
    ],
    ['tap modify tap0 vpp1', ['changeInterface', 'tap0', { tap: { host: { name: 'vpp1' } } }]],
    ['tap modify tap0 vpp1 hwaddr random', ['changeInterface', 'tap0', { tap: { host: { name: 'vpp1' } }, mac: null }]],
    ['tap delete tap0', ['deleteInterface', 'tap0']],
    ['set tap offload tap0 gso-enable', ['changeInterface', 'tap0', { tap: { offload: 'gso' } }]],
    ['set tap offload tap0 gso-disable', ['changeInterface', 'tap0', { tap: { offload: 'none', groCoalesce: false } }]],
    [
      'set tap offload tap0 csum-offload-enable',
      ['changeInterface', 'tap0', { tap: { offload: 'csum', groCoalesce: false } }],
    ],
    ['create sub-interfaces tap0 200', ['createInterface', 'tap0.200', {}]],
    ['delete sub-interface tap0.100', ['deleteInterface', 'tap0.100']],
    ['set interface state tap0 up', ['changeInterface', 'tap0', { up: true }]],
    ['set interface mtu 9000 tap0', ['changeInterface', 'tap0', { mtu: 9000 }]],
    ['set interface mac address tap0 02:FE:00:00:00:01', ['changeInterface', 'tap0', { mac: '02:fe:00:00:00:01' }]],
    ['set interface promiscuous off tap0', ['changeInterface', 'tap0', { promiscuous: false }]],
    [
      'set interface ip address tap0 fd00::1/64',
      ['changeInterface', 'tap0', { address: ['10.0.0.1/24', 'fd00::1/64'] }, AT_REVISION],
    ],
    [
      'set interface ip address del tap0.100 10.1.0.1/24',
      ['changeInterface', 'tap0.100', { address: [] }, AT_REVISION],
    ],
    [
      'set interface ip address bvi.lan 10.2.0.1/24',
      ['changeInterface', 'bvi.lan', { address: ['10.2.0.1/24'] }, AT_REVISION],
    ],
    ['set interface l2 bridge tap0 lan', ['changeInterface', 'tap0', { bridge: 'lan', splitHorizonGroup: 0 }]],
    ['set interface l2 bridge tap0 lan 4', ['changeInterface', 'tap0', { bridge: 'lan', splitHorizonGroup: 4 }]],
    ['set interface l2 bridge bvi.dmz dmz bvi', ['createInterface', 'bvi.dmz', {}]],
    ['set interface l3 tap0', ['changeInterface', 'tap0', { bridge: null, splitHorizonGroup: null }]],
    ['set interface l3 bvi.lan', ['deleteInterface', 'bvi.lan']],
    ['set interface rx-mode tap0 polling', ['changeInterface', 'tap0', { tap: { rxMode: 'polling' } }, AT_REVISION]],
    [
      'set interface rx-mode vm0 polling',
      ['changeInterface', 'vm0', { vhostUser: { rxMode: 'polling' } }, AT_REVISION],
    ],
    ['set interface rx-placement tap0 worker 1', ['changeInterface', 'tap0', { tap: { placement: [1] } }, AT_REVISION]],
    [
      'set interface rx-placement tap0 queue 2 worker 1',
      ['changeInterface', 'tap0', { tap: { placement: [0, 1, 1] } }, AT_REVISION],
    ],
    ['publish tap0 53:53/udp', ['changeInterface', 'tap0', { publish: ['8080:80/tcp', '53:53/udp'] }, AT_REVISION]],
    ['unpublish tap0 8080:80', ['changeInterface', 'tap0', { publish: [] }, AT_REVISION]],
    ['forward add tap0 53:53/udp', ['changeInterface', 'tap0', { publish: ['8080:80/tcp', '53:53/udp'] }, AT_REVISION]],
    ['forward del tap0 8080:80', ['changeInterface', 'tap0', { publish: [] }, AT_REVISION]],
    ['create bridge-domain dmz', ['createBridge', 'dmz', {}]],
    [
      'create bridge-domain dmz learn 0 flood 1 ageing 0.5',
      ['createBridge', 'dmz', { learn: false, flood: true, ageing: '500ms' }],
    ],
    ['delete bridge-domain lan', ['deleteBridge', 'lan']],
    ['set bridge-domain learn lan off', ['changeBridge', 'lan', { learn: false }]],
    ['set bridge-domain ageing lan 60', ['changeBridge', 'lan', { ageing: '60s' }]],
    ['set uplink host', ['setUplink', { translate: 'host' }]],
    ['set uplink off', ['setUplink', null]],
    ['ip route add 0.0.0.0/0 via uplink', ['addRoute', { to: '0.0.0.0/0', via: 'uplink' }]],
    ['ip route add fd00::/8 via fe80::1 tap0', ['addRoute', { to: 'fd00::/8', via: 'fe80::1%tap0' }]],
    [
      'ip route add 10.0.0.0/8 via 10.0.0.2 weight 3 via tap2 via drop',
      ['addRoute', { to: '10.0.0.0/8', via: [{ via: '10.0.0.2', weight: 3 }, 'tap2', 'drop'] }],
    ],
    [
      'ip route add 10.0.0.0/8 via tap0 weight 2',
      ['addRoute', { to: '10.0.0.0/8', via: [{ via: 'tap0', weight: 2 }] }],
    ],
    ['ip route del 10.0.0.0/8', ['deleteRoute', '10.0.0.0/8']],
    ['ip route del 10.5.0.0/16 via tap2 via 10.0.0.2', ['deleteRoute', '10.5.0.0/16', AT_REVISION]],
    [
      'ip route del 10.5.0.0/16 via tap2',
      [
        'putConfiguration',
        { ...CONFIGURATION.document, routes: [{ to: '10.5.0.0/16', via: ['10.0.0.2'] }] },
        AT_REVISION,
      ],
    ],
    [
      'set ip neighbor tap0 10.0.0.2 02:fe:00:00:00:01',
      ['addNeighbour', { interface: 'tap0', address: '10.0.0.2', mac: '02:fe:00:00:00:01' }],
    ],
    ['set ip neighbor del tap0 10.0.0.2', ['deleteNeighbour', 'tap0', '10.0.0.2']],
    ['trace add ip4-lookup 10', ['addTrace', 'ip4-lookup', 10, undefined]],
    ['trace add ip4-lookup 10 filter arp', ['addTrace', 'ip4-lookup', 10, 'arp']],
    ['clear neighbors', ['clear', 'neighbours']],
    [
      'pcap trace rx intfc tap0 file /tmp/x max 5 max-bytes-per-pkt 64 filter arp',
      [
        'startCapture',
        { interface: 'tap0', file: '/tmp/x', directions: ['rx'], filter: 'arp', packetsMax: 5, bytesPerPacketMax: 64 },
      ],
    ],
    ['pcap trace intfc any file x', ['startCapture', { interface: 'any', file: join(process.cwd(), 'x') }]],
    ['pcap trace off', ['stopCapture', 'a']],
    ['pcap trace off b', ['stopCapture', 'b']],
    ['ping 10.0.0.2', ['ping', { address: '10.0.0.2' }]],
    [
      'ping fe80::1 source tap0 repeat 2 size 8 interval 0.25',
      ['ping', { address: 'fe80::1', count: 2, intervalMs: 250, size: 8, interface: 'tap0' }],
    ],
  ];
  for (const [line, wanted] of samples) {
    it(line, async () => assert.deepEqual(await change(line), wanted));
  }

  it('say what they made', async () => {
    assert.equal((await tell('create tap')).out, 'tap1\n');
    assert.equal((await tell('create bridge-domain dmz')).out, 'dmz\n');
    assert.equal((await tell('create sub-interfaces tap0 7')).out, 'tap0.7\n');
    assert.equal((await tell('create stream vm0 socket /run/vm0.sock')).out, 'vm0\n');
    assert.equal((await tell('set interface mtu 9000 tap0')).out, '');
    const applied = { revision: 8, dryRun: false, actions: [] };
    const { out } = await tell('create tap --json', { ...ANSWERS, createInterface: applied });
    assert.deepEqual(JSON.parse(out), applied);
  });

  it('are refused here where the engine could say less', async () => {
    const samples: readonly (readonly [string, string])[] = [
      ['create tap host-ip4-addr 10.0.0.2/24 host-bridge br0', 'host-ip4-addr and host-bridge exclude each other'],
      ['create tap attach', 'attach: which tap is meant?'],
      [
        'create tap num-rx-queues 2 num-tx-queues 1',
        'num-rx-queues 2 and num-tx-queues 1: a queue of a tap goes both ways',
      ],
      ['set interface ip address tap0 10.0.0.1/24', 'tap0 has 10.0.0.1/24 already'],
      ['set interface ip address del tap0 10.9.0.1/24', 'tap0 has no 10.9.0.1/24\ntap0 has 10.0.0.1/24.'],
      ['set interface ip address tap7 10.9.0.1/24', 'there is no interface tap7: did you mean "tap0"?'],
      ['set interface l2 bridge tap0 lan bvi', "tap0 can't be our leg in bridge lan"],
      ['set interface rx-placement tap0 queue 3 worker 0', 'tap0 has no queue 3'],
      ['ip route del 10.5.0.0/16 via uplink', 'the route to 10.5.0.0/16 does not lead via uplink'],
      ['ip route del 10.6.0.0/16 via uplink', 'there is no route to 10.6.0.0/16'],
    ];
    for (const [line, message] of samples) {
      const { outcome, error } = await tell(line);
      assert.equal(outcome, 'failed', line);
      assert.ok(error.startsWith(`tapster: ${message}`), error);
    }
  });

  it('are tried again where somebody else was faster', async () => {
    let tries = 0;
    const changeInterface = (): unknown => {
      if (++tries < 3) throw new ApiError(412, 'revision-conflict', 'it has changed');
      return { revision: 9, dryRun: false, actions: [] };
    };
    assert.equal(
      (await tell('set interface ip address tap0 10.7.0.1/24', { ...ANSWERS, changeInterface })).outcome,
      'done',
    );
    assert.equal(tries, 3);
  });
});

describe('questions', () => {
  it('are passed on', async () => {
    const samples: readonly (readonly [string, Call])[] = [
      ['show interface', ['interfaces']],
      ['show interface tap0', ['interface', 'tap0']],
      ['show l2fib lan', ['stations', 'lan']],
      ['show ip fib', ['routes', 'ipv4', {}]],
      ['show ip6 fib fd00::/8', ['routes', 'ipv6', { within: 'fd00::/8' }]],
      ['show ip neighbors tap0', ['neighbours', { interface: 'tap0' }]],
      ['show flows limit 3 protocol udp interface tap0', ['flows', { interface: 'tap0', protocol: 'udp', limit: 3 }]],
      ['show event-log 5', ['eventLog', 5]],
      ['show node names', ['nodes']],
    ];
    for (const [line, wanted] of samples) {
      const list = Object.fromEntries([[wanted[0], line === 'show interface tap0' ? { name: 'tap0' } : []]]);
      const { calls, outcome, error } = await tell(line, list);
      assert.equal(outcome, 'done', error);
      assert.deepEqual(calls, [wanted]);
    }
  });

  it("answer with the API's JSON", async () => {
    const routes = [{ to: '::/0', origin: 'configured', via: [] }];
    assert.deepEqual(JSON.parse((await tell('show --json ip6 fib', { routes })).out), routes);
    assert.deepEqual(JSON.parse((await tell('show configuration --json')).out), CONFIGURATION.document);
    const { outcome, error } = await tell('help --json');
    assert.equal(outcome, 'usage');
    assert.match(error, /has no JSON/);
  });

  it('show events as they come, until interrupted', async () => {
    const event: EventView = { id: 1, at: 0, type: 'interface', event: 'interface-up', message: 'tap0 is up' };
    const events = async function* (): AsyncGenerator<EventView> {
      yield event;
    };
    assert.equal(
      (await tell('events', { events: events() })).out,
      '1970-01-01 00:00:00.000Z interface-up tap0 is up\n',
    );
    assert.deepEqual(JSON.parse((await tell('events --json', { events: events() })).out), event);
  });
});

describe('a session', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tapster-ctl-'));
  after(() => rmSync(folder, { recursive: true }));

  const write = (name: string, text: string): string => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  };

  it('runs the lines of a file, and stops at the first that fails, with its place', async () => {
    const good = write('good', '# a lab\nclear errors\n\nset interface mtu 1400 tap0 # less\n');
    const { outcome, calls } = await tell(`exec ${good}`);
    assert.equal(outcome, 'done');
    assert.deepEqual(calls, [
      ['clear', 'errors'],
      ['changeInterface', 'tap0', { mtu: 1400 }],
    ]);
    const bad = write('bad', 'clear errors\n  shwo version\nclear trace\n');
    const told = await tell(`exec ${bad}`);
    assert.equal(told.outcome, 'usage');
    assert.ok(told.error.startsWith(`tapster: ${bad}:2:3: "shwo" does not fit here`), told.error);
    assert.deepEqual(told.calls, [['clear', 'errors']]);
    const refused = await tell(`exec ${write('refused', 'create tap attach\n')}`);
    assert.equal(refused.outcome, 'failed');
    assert.match(refused.error, /refused:1: attach/);
    assert.match((await tell(`exec ${folder}/nothing`)).error, /there is no such file/);
  });

  it('ends files that run each other', async () => {
    const path = join(folder, 'loop');
    write('loop', `exec ${path}\n`);
    const { outcome, error } = await tell(`exec ${path}`);
    assert.equal(outcome, 'failed');
    assert.match(error, /8 deep/);
  });

  it('looks for the engine again when it was gone', async () => {
    let connects = 0;
    const session = new Session({
      connect: async () => {
        connects++;
        if (connects === 1) throw new ApiError(0, 'engine-not-running', 'no engine runs');
        return fakeClient([], { clear: undefined });
      },
      out: () => {},
      error: () => {},
      layout: { columns: 80, colours: false },
    });
    assert.equal(await session.run(readLine('clear trace')), 'failed');
    assert.equal(await session.run(readLine('clear trace')), 'done');
    assert.equal(await session.run(readLine('clear trace')), 'done');
    assert.equal(connects, 2);
  });

  it('tells every mistake of a configuration, harmlessly', async () => {
    const problem = (path: string): object => ({
      code: 'x',
      line: 0,
      column: 0,
      path: [path],
      value: '',
      message: 'is wrong',
    });
    const changeInterface = (): never => {
      throw new ApiError(422, 'config-invalid', 'wrong\u001b[2J', [problem('a'), problem('b')] as never);
    };
    const { outcome, error } = await tell('set interface mtu 1400 tap0', { changeInterface });
    assert.equal(outcome, 'failed');
    assert.equal(error, 'tapster: wrong\\x1b[2J\nthe configuration: a: is wrong\nthe configuration: b: is wrong\n');
  });

  it('helps', async () => {
    assert.equal(
      (await tell('help show ip')).out,
      [
        'show ip fib        IPv4 routes; those that cover a prefix or an address, or lie under it\n',
        'show ip6 fib       IPv6 routes; those that cover a prefix or an address, or lie under it\n',
        'show ip neighbors  neighbours of both families\n',
      ].join(''),
    );
    assert.match(
      (await tell('help set interface mtu')).out,
      /^set interface mtu N IF\n {2}bytes of an IP packet, at most\n\n {2}N +bytes\n {2}IF +an interface/,
    );
    assert.match((await tell('help shwo')).error, /no command begins with "shwo"/);
    assert.equal((await tell('quit')).outcome, 'quit');
  });

  it('says which ports lead where, and when none does', async () => {
    assert.equal((await tell('forward show')).out, 'INTERFACE  PORTS\ntap0       8080:80/tcp\n');
    const nothing = { configuration: { document: {}, revision: 1 } };
    assert.equal((await tell('forward show', nothing)).out, 'no forwarded ports\n');
  });
});
