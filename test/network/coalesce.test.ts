/** Segments that come from a tap without offloads, and reach one with segmentation offload joined to large frames, by the kernel's own TCP. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { patternHash } from '../support/netns/pattern.ts';
import { inLab, Namespace, onOwnMachine } from './lab.ts';

await onOwnMachine(import.meta.url);

const STREAM_BYTES = 8_000_000;
const ADDRESSES = [
  ['10.0.0.2', '10.1.0.2'],
  ['fd00:a::2', 'fd00:b::2'],
] as const;

interface Shape {
  readonly joins?: boolean;
  readonly mode?: 'tap' | 'tun';
}

function routed({ joins = true, mode = 'tap' }: Shape = {}): string {
  return `
interfaces:
  tap0:
    tap: { host: { name: eth0, namespace: red, address: [10.0.0.2/24, "fd00:a::2/64"], gateway: [10.0.0.1, "fd00:a::1"] } }
    address: [10.0.0.1/24, "fd00:a::1/64"]
  tap1:
    tap:
      host: { name: eth0, namespace: blue, address: [10.1.0.2/24, "fd00:b::2/64"], gateway: [10.1.0.1, "fd00:b::1"] }
      mode: ${mode}
      offload: gso
      groCoalesce: ${joins}
    address: [10.1.0.1/24, "fd00:b::1/64"]
`;
}

const BRIDGED = `
interfaces:
  tap0: { tap: { host: { name: eth0, namespace: red, address: [10.1.0.1/24, "fd00:b::1/64"] } }, bridge: lan }
  tap1:
    tap: { host: { name: eth0, namespace: blue, address: [10.1.0.2/24, "fd00:b::2/64"] }, offload: gso, groCoalesce: true }
    bridge: lan
bridges: { lan: {} }
`;

for (const [what, shape] of [
  ['a tap', {}],
  ['a TUN device', { mode: 'tun' }],
] as const) {
  describe(`streams into ${what} whose segments are joined`, () => {
    const lab = inLab();
    const { red, blue } = twoNamespaces();
    before(async () => {
      await lab.apply(routed(shape));
      for (const each of [red, blue]) await each().serve();
    });

    it('arrive whole, both ways, both families, several at a time, in large frames', async () => {
      const seen = received(blue());
      for (const [here, there] of ADDRESSES) {
        await Promise.all([stream(red(), there), stream(red(), there), stream(red(), there), stream(blue(), here)]);
      }
      const { joined, joinedFrames, dropped } = software();
      assert.ok(joined > 3 * joinedFrames && joinedFrames > 100, `${joined} segments joined to ${joinedFrames}`);
      assert.equal(dropped, 0);
      const { bytes, packets } = received(blue(), seen);
      // Acknowledgments of the stream the other way are among them.
      assert.ok(bytes / packets > 2000, `${bytes} bytes in ${packets} frames`);
      // Nothing had to be sent again for what we made of it.
      for (const each of [red, blue]) assert.doesNotMatch(each().shell('nstat -as'), /InCsumErrors|IpInHdrErrors/);
    });

    it('are joined no more once it is switched off, and again when it is switched on', async () => {
      for (const joins of [false, true]) {
        await lab.apply(routed({ ...shape, joins }));
        const before = software();
        await stream(red(), '10.1.0.2');
        assert.equal(software().joined > before.joined, joins);
      }
    });

    const software = () => lab.network.hardware().find(({ name }) => name === 'tap1')!.software;
  });
}

describe('streams over a bridge, whose segments are joined', () => {
  const lab = inLab();
  const { red, blue } = twoNamespaces();

  it('arrive whole, in large frames', async () => {
    await lab.apply(BRIDGED);
    await blue().serve();
    const seen = received(blue());
    for (const [, there] of ADDRESSES) await stream(red(), there);
    const { bytes, packets } = received(blue(), seen);
    assert.ok(bytes / packets > 4000, `${bytes} bytes in ${packets} frames`);
  });
});

function twoNamespaces(): { red: () => Namespace; blue: () => Namespace } {
  const made: Namespace[] = [];
  before(() => void made.push(new Namespace('red'), new Namespace('blue')));
  after(() => {
    for (const each of made) each.delete();
  });
  return { red: () => made[0]!, blue: () => made[1]! };
}

/** Sends bytes whose hash the other end must see. */
async function stream(from: Namespace, to: string): Promise<void> {
  const { bytes, sha256 } = await from.client('send', to, '9', String(STREAM_BYTES), '{}');
  assert.deepEqual({ bytes, sha256 }, { bytes: STREAM_BYTES, sha256: patternHash(STREAM_BYTES) });
}

interface Received {
  readonly bytes: number;
  readonly packets: number;
}

/** What the kernel's side has taken since then. */
function received(namespace: Namespace, since: Received = { bytes: 0, packets: 0 }): Received {
  const [link] = namespace.list<{ stats64: { rx: Received } }>('-s link show eth0');
  const { bytes, packets } = link!.stats64.rx;
  return { bytes: bytes - since.bytes, packets: packets - since.packets };
}
