import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Congestion, NO_LINK } from './congestion.ts';
import { FlowTable } from './flow-table.ts';

it('a flow is held by the link that its guest is behind, and by no other', () => {
  const flows = new FlowTable(16, 1);
  const flow = (low: number): number => {
    flows.setProbe(6, 3, 0, 0, 0xffff, 0x0a000002, low, 0, 0, 0xffff, 0x0a000003, 80);
    const made = flows.insert(0, 0);
    flows.macLow[made] = low;
    return made;
  };
  const [here, there] = [flow(100), flow(4)];
  const congestion = new Congestion(flows, (interfaceIndex, _high, low) => interfaceIndex * 100 + low);
  const held = (): number[] => [here, there].map((each) => congestion.linkHolding(each));
  assert.deepEqual(held(), [NO_LINK, NO_LINK]);
  congestion.set(400, true);
  congestion.set(400, true);
  assert.deepEqual(held(), [400, NO_LINK]);
  congestion.set(304, true);
  assert.deepEqual(held(), [400, 304]);
  congestion.set(400, false);
  assert.deepEqual(held(), [NO_LINK, 304]);
});
