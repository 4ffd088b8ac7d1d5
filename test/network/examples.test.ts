/** The configurations of `examples/`: each is right, and does what it says on top. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { eventually } from '../support/netns/process.ts';
import { CHECKOUT } from '../support/netns/user.ts';
import { configOf, inLab, Namespace, onOwnMachine } from './lab.ts';

await onOwnMachine(import.meta.url);

const FOLDER = join(CHECKOUT, 'examples');
const TRIED = [
  'bridge.yaml',
  'router-with-services.yaml',
  'two-namespaces.yaml',
  'vlans.yaml',
  'vm-and-namespace.yaml',
];

describe('the configurations of examples', () => {
  const lab = inLab();
  const spaces: Namespace[] = [];
  const [red, blue] = ['red', 'blue', 'green'].map(
    (name) => (): Namespace => spaces.find((each) => each.name === name)!,
  );
  before(() => {
    for (const name of ['red', 'blue', 'green']) spaces.push(new Namespace(name));
  });
  after(() => {
    for (const each of spaces) each.delete();
  });

  it('are all tried here', () => {
    const there = readdirSync(FOLDER).filter((file) => file.endsWith('.yaml'));
    assert.deepEqual(there.sort(), TRIED);
    for (const file of there) configOf(read(file));
  });

  it('two-namespaces.yaml routes between red and blue, in both families', async () => {
    await lab.apply(read('two-namespaces.yaml'));
    for (const to of ['10.0.0.1', '10.0.1.2', 'fd00:b::2']) await red!().reach(to);
  });

  it('bridge.yaml switches, with ourselves in the bridge', async () => {
    await lab.apply(read('bridge.yaml'));
    for (const to of ['10.1.0.3', '10.1.0.1', 'fd00:1::3', 'fd00:1::1']) await red!().reach(to);
  });

  it('vlans.yaml has the VLANs that it tells of beside what has no tag', async () => {
    await lab.apply(read('vlans.yaml'));
    await red!().reach('10.0.0.1');
    await blue!().reach('10.10.0.1');
    for (const [name, vlan] of [
      ['tap0.10', 10],
      ['tap0.20', 20],
    ] as const) {
      assert.equal(lab.interface(name).vlan, vlan);
    }
  });

  it('router-with-services.yaml gives addresses by advertisements, and reaches green from them', async () => {
    await lab.apply(read('router-with-services.yaml'));
    await eventually('red has an address of the network that is advertised', () =>
      red!().shell('ip -6 address show dev eth0').includes('fd00:1::'),
    );
    await red!().reach('fd00:1::1');
    red!().shell('ip address add 10.1.0.9/24 dev eth0; ip route add default via 10.1.0.1');
    await red!().reach('10.2.0.2');
    assert.deepEqual(lab.interface('bvi.lan').services, ['dhcp', 'dns', 'ra']);
  });
});

function read(file: string): string {
  return readFileSync(join(FOLDER, file), 'utf8');
}
