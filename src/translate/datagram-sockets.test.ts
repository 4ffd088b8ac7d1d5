import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DATAGRAM_LISTENERS_MAX } from '../base/limits.ts';
import { FlowTable } from '../flow/flow-table.ts';
import { ERRNO } from '../sys/errno.ts';
import type { Sys } from '../sys/sys.ts';
import { DatagramSockets, SOCKET_KIND } from './datagram-sockets.ts';

const UDP = 17;
const FLOWS = 8;
const GUEST = Int32Array.of(0, 0, 0xffff, 0x0a000264);

/** Sockets of descriptors that are none; `closed` has those that were closed. */
function fresh(): { readonly sockets: DatagramSockets; readonly closed: Set<number>; readonly tokens: Set<number> } {
  const closed = new Set<number>();
  const tokens = new Set<number>();
  const sys = {
    pollControl: () => 0,
    close: (fd: number) => {
      assert.ok(!closed.has(fd), 'a descriptor is closed once');
      closed.add(fd);
      return 0;
    },
  } as unknown as Sys;
  let last = 0;
  const space = {
    allocate: () => {
      tokens.add(--last);
      return last;
    },
    release: (token: number) => assert.ok(tokens.delete(token)),
  };
  const flows = new FlowTable(FLOWS, 1);
  return { sockets: new DatagramSockets(sys, 3, flows, space, { ready: () => {} }), closed, tokens };
}

describe('sockets of published ports', () => {
  it('may be all ports of both families, and not one more', () => {
    const { sockets, closed, tokens } = fresh();
    let rows = sockets.kind.length;
    sockets.onGrowth = (more) => {
      assert.ok(more > rows);
      rows = more;
    };
    const add = (fd: number): number => sockets.addListener(UDP, 0, GUEST, fd & 0xffff, fd, true);
    for (let i = 0; i < DATAGRAM_LISTENERS_MAX; i++) assert.ok(add(1000 + i) >= 0);
    assert.equal(rows, sockets.kind.length);
    assert.equal(add(1), -ERRNO.ENOSPC);
    assert.ok(closed.delete(1));
    // What was there before the table grew is as it was.
    const first = sockets.byToken(-1);
    assert.deepEqual([sockets.kind[first], sockets.fd[first]], [SOCKET_KIND.LISTENER, 1000]);
    assert.deepEqual([...sockets.endpoints.subarray(first * 6 + 1, first * 6 + 6)], [...GUEST, 1000]);
    for (let i = 0; i < DATAGRAM_LISTENERS_MAX; i++) assert.ok(sockets.retire(1000 + i));
    assert.deepEqual([closed.size, tokens.size, sockets.count], [DATAGRAM_LISTENERS_MAX, 0, 0]);
    assert.equal(sockets.kind.length, rows);
  });

  it('leave a place for each flow, also those of ports that were retired', () => {
    const { sockets, closed } = fresh();
    for (let i = 0; i < 64; i++) assert.ok(sockets.addListener(UDP, 0, GUEST, i, 1000 + i, true) >= 0);
    // Each of these has one flow, and goes on with it.
    for (let flow = 0; flow < FLOWS; flow++) {
      sockets.attach(flow, sockets.byToken(-1 - flow));
      assert.ok(sockets.retire(1000 + flow));
      assert.equal(sockets.retire(1000 + flow), false);
      assert.ok(sockets.findRetired(1000 + flow) >= 0);
    }
    for (let i = 0; i < FLOWS; i++) assert.ok(sockets.addListener(UDP, 0, GUEST, i, 2000 + i, true) >= 0);
    assert.equal(closed.size, 0);
    for (let flow = 0; flow < FLOWS; flow++) sockets.detach(flow);
    assert.deepEqual([closed.size, sockets.findRetired(1000)], [FLOWS, -1]);
  });
});
