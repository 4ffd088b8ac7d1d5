/** What others take away under us, and what happens then: dependents go first, somebody is told, and it comes back when it can. */
// covers V12, P3
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { eventually } from '../support/netns/process.ts';
import { inLab, Namespace, onOwnMachine } from './lab.ts';

await onOwnMachine(import.meta.url);

const RED =
  'tap0: { tap: { host: { name: eth0, namespace: red, address: [10.0.0.2/24], gateway: [10.0.0.1] } }, address: [10.0.0.1/24] }';
const BLUE =
  'tap1: { tap: { host: { name: eth0, namespace: blue, address: [10.1.0.2/24], gateway: [10.1.0.1] } }, address: [10.1.0.1/24] }';
const BOTH = `
interfaces:
  ${RED}
  ${BLUE}
routes: [ { to: 10.9.0.0/16, via: 10.1.0.2 }, { to: 10.8.0.0/16, via: tap1 } ]
neighbours: [ { interface: tap1, address: 10.1.0.7, mac: "02:00:00:00:00:07" } ]
`;

describe('a tap that goes without our doing', () => {
  const lab = inLab();
  let red: Namespace;
  let blue: Namespace;
  before(() => {
    red = new Namespace('red');
  });
  after(() => red.delete());
  beforeEach(async () => {
    await lab.apply('');
    blue = new Namespace('blue');
    lab.events.length = 0;
  });

  const lost = () => lab.heard('interface-lost', ({ data }) => data?.['part'] === 'interface tap1');
  const back = () => eventually('nothing is unmet', () => lab.network.engine().unmet.length === 0);
  const unmet = (): string[] => lab.network.engine().unmet.map(({ part }) => part);

  const EVERYTHING = [
    'interface tap1',
    'host-address tap1 10.1.0.2/24',
    'host-gateway tap1 10.1.0.1',
    'address tap1 10.1.0.1/24',
    'neighbour tap1 10.1.0.7',
    'route 10.9.0.0/16',
    'route 10.8.0.0/16',
    'up tap1',
  ];

  it('takes all that depends on it along, and comes back with its namespace', async () => {
    await lab.apply(BOTH);
    await red.reach('10.1.0.2');
    const { index } = lab.interface('tap1');
    blue.delete();
    const event = await lost();
    assert.deepEqual(event.data?.['lost'], EVERYTHING);
    assert.match(event.message, /tap1/);
    assert.deepEqual(
      lab.network.interfaces().map(({ name }) => name),
      ['tap0'],
    );
    assert.deepEqual(unmet(), EVERYTHING);
    const routes = lab.network.routes('ipv4');
    assert.ok(routes.ok);
    assert.ok(
      routes.value.every(({ to }) => to.startsWith('10.0.0.')),
      JSON.stringify(routes.value),
    );
    assert.deepEqual(lab.network.neighbours({ interface: 'tap1' }), []);
    // The others do not notice.
    await red.reach('10.0.0.1');
    await eventually('it is said why it does not come back', () =>
      /blue/.test(lab.network.engine().unmet[0]?.message ?? ''),
    );
    blue = new Namespace('blue');
    await lab.heard('part-met', ({ data }) => data?.['part'] === 'up tap1');
    assert.deepEqual(unmet(), []);
    assert.notEqual(lab.interface('tap1').index, index);
    await eventually('there is carrier', () => blue.shell('ip link show eth0').includes('LOWER_UP'));
    await red.reach('10.1.0.2');
    blue.delete();
  });

  it('deleted with ip(8): it is made again', async () => {
    await lab.apply(BOTH);
    const { index } = lab.interface('tap1');
    blue.shell('ip link del eth0');
    await lost();
    await back();
    assert.notEqual(lab.interface('tap1').index, index);
    await eventually('there is carrier', () => blue.shell('ip link show eth0').includes('LOWER_UP'));
    await red.reach('10.1.0.2');
    blue.delete();
  });

  it('with an open stream: that breaks, and nothing else', async () => {
    await lab.apply(`${BOTH}uplink: { translate: host, hostLoopback: gateway }`);
    const server = await blue.serve();
    const talk = await red.talk('10.1.0.2');
    await talk.say('hello');
    server.kill('SIGKILL');
    await server.ended;
    blue.delete();
    await lost();
    await red.reach('10.0.0.1');
  });

  it('can be given up by the configuration while it is not there', async () => {
    await lab.apply(BOTH);
    blue.delete();
    await lost();
    await lab.apply(`interfaces: { ${RED} }`);
    assert.deepEqual(unmet(), []);
    assert.deepEqual(
      lab.network.interfaces().map(({ name }) => name),
      ['tap0'],
    );
  });

  it('keeps the configuration from nothing else meanwhile', async () => {
    await lab.apply(BOTH);
    blue.delete();
    await lost();
    const before = unmet();
    await lab.apply(`${BOTH}bridges: { lan: {} }`);
    assert.equal(lab.network.bridges().length, 1);
    assert.deepEqual(unmet(), before);
    // What is refused leaves it as unmet as it was.
    const failure = await lab.refuse(
      BOTH.replace(RED, `${RED}\n  tap9: { tap: { host: { namespace: grey } } }`).replace('10.8.0.0', '10.7.0.0'),
    );
    assert.match(failure.message, /grey/);
    assert.deepEqual(unmet().sort(), before.sort());
    assert.equal(lab.network.bridges().length, 1);
    blue = new Namespace('blue');
    await back();
    await eventually('there is carrier', () => blue.shell('ip link show eth0').includes('LOWER_UP'));
    await red.reach('10.1.0.2');
    blue.delete();
  });

  it('can be changed while it is not there, and comes back changed', async () => {
    await lab.apply(BOTH);
    blue.delete();
    await lost();
    await lab.apply(BOTH.replace('tap1: {', 'tap1: { mtu: 1400,'));
    blue = new Namespace('blue');
    await back();
    assert.equal(blue.list<{ mtu: number }>('link show eth0')[0]?.mtu, 1400);
    blue.delete();
  });

  it('that was a member of a bridge: its stations go, the bridge stays', async () => {
    const member = (name: string, last: number): string =>
      `${name}: { tap: { host: { name: eth0, namespace: ${name}, mac: "02:00:00:00:00:0${last}", address: [10.3.0.${last}/24] } }, bridge: lan }`;
    await lab.apply(
      `interfaces: { ${member('red', 2)}, ${member('blue', 3)} }\nbridges: { lan: { bvi: { address: [10.3.0.1/24] } } }`,
    );
    await red.reach('10.3.0.3');
    assert.ok(lab.network.stations('lan').some(({ interface: name }) => name === 'blue'));
    blue.delete();
    await lab.heard('interface-lost', ({ data }) => data?.['part'] === 'interface blue');
    assert.ok(!lab.network.stations('lan').some(({ interface: name }) => name === 'blue'));
    assert.deepEqual(
      lab.network.bridges()[0]?.members.map((each) => each.interface),
      ['red'],
    );
    await red.reach('10.3.0.1');
    blue = new Namespace('blue');
    await back();
    await eventually('it is reached again', () => blue.shell('ip link show eth0').includes('LOWER_UP'));
    await red.reach('10.3.0.3');
    blue.delete();
  });

  it('at the very moment of a change', async () => {
    await lab.apply(BOTH);
    blue.delete();
    // The loop has had no turn yet: the change comes first, and finds nobody.
    await lab.apply(`interfaces: { ${RED} }`);
    assert.deepEqual(unmet(), []);
    await red.reach('10.0.0.1');
  });
});
