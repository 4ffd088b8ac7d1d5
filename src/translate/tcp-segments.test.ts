import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { VERDICT } from '../flow/policy.ts';
import * as vnet from '../wire/vnet-header.ts';
import { OFFLOAD, pattern, REMOTE, REMOTE6, TcpBench, type TcpBenchOptions } from './tcp-bench.test.ts';

/** Where TCP's header lies behind Ethernet's and IP's, and where its checksum lies. */
const TRANSPORT = { [REMOTE]: 34, [REMOTE6]: 54 } as const;
const CHECKSUM = 16;

let bench: TcpBench;
/** Every frame that was written, virtio-net header in front. */
let frames: Uint8Array[];

function start(options: TcpBenchOptions = {}): void {
  bench = new TcpBench(options);
  frames = [];
  const { device } = bench;
  const receive = device.receive.bind(device);
  device.receive = () => {
    const taken = receive();
    frames.push(...taken);
    return taken;
  };
}

function vnetOf(frame: Uint8Array): Record<string, number> {
  const view = new DataView(frame.buffer, frame.byteOffset);
  return {
    flags: vnet.flags(view, 0),
    type: vnet.gsoType(view, 0),
    size: vnet.gsoSize(view, 0),
    headers: vnet.headerLength(view, 0),
    start: vnet.checksumStart(view, 0),
    offset: vnet.checksumOffset(view, 0),
  };
}

afterEach(() => bench.close());

describe('tcp: segments to the guest', () => {
  it('leave nothing to a link that takes nothing: whole checksums, one segment each, an empty virtio-net header', () => {
    for (const mtu of [576, 1500, 65_520]) {
      for (const remote of [REMOTE, REMOTE6]) {
        start({ mtu });
        const guest = bench.connected({}, { mss: 65_535, scale: 7 }, { remote });
        bench.peer.send(pattern(150_001));
        guest.take();
        for (let i = 0; i < 5; i++) guest.ask('A');
        assert.deepEqual(guest.received, [...pattern(150_001)]);
        for (const frame of frames) {
          assert.deepEqual([...frame.subarray(0, 12)], new Array(12).fill(0));
          assert.ok(frame.length - 12 - 14 <= mtu);
        }
        assert.equal(Math.max(...frames.map(({ length }) => length - 26)), mtu, 'the MTU is used');
        bench.close();
      }
    }
    start();
  });

  it('leave checksum and cutting to a link that takes them', () => {
    for (const remote of [REMOTE, REMOTE6] as const) {
      start({ offload: OFFLOAD });
      const guest = bench.connected({}, {}, { remote });
      frames = [];
      bench.peer.send(pattern(5000));
      guest.take();
      const transport = TRANSPORT[remote];
      const type = remote === REMOTE ? vnet.GSO_TCPV4 : vnet.GSO_TCPV6;
      const size = remote === REMOTE ? 1460 : 1440;
      const checksum = { flags: vnet.FLAG_NEEDS_CSUM, start: transport, offset: CHECKSUM };
      assert.deepEqual(frames.map(vnetOf), [{ ...checksum, type, size, headers: transport + 20 }]);
      frames = [];
      guest.ask('A', { data: 1 });
      assert.deepEqual(frames.map(vnetOf), [{ ...checksum, type: 0, size: 0, headers: 0 }]);
      bench.close();
    }
    start();
  });

  it('refuse in place, whatever the segment carried, in both families', () => {
    start({ offload: OFFLOAD, verdict: VERDICT.REFUSE });
    for (const remote of [REMOTE, REMOTE6]) {
      const guest = bench.talk(undefined, { remote });
      assert.deepEqual(guest.ask('A', { ack: 1000, data: 1400 }), ['R 1000']);
      assert.deepEqual(guest.ask('F', { seq: 5, data: 60_000, gso: 1400 }), ['RA 0 ack 60006']);
      assert.deepEqual(guest.ask('S', { seq: 5, mss: 1460, scale: 7 }), ['RA 0 ack 6']);
    }
    for (const frame of frames) assert.deepEqual([...frame.subarray(0, 12)], new Array(12).fill(0));
  });
});
