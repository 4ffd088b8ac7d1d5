import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DhcpLeases, NO_LEASE } from './dhcp-leases.ts';

const FIRST = 0x0a000001;
const nothing = (): boolean => false;

function of(max: number, size: number): DhcpLeases {
  const leases = new DhcpLeases(max);
  leases.setPool(FIRST, FIRST + size - 1, nothing);
  return leases;
}

describe('leases', () => {
  it('are bounded, whatever the size of the pool', () => {
    const leases = of(3, 1 << 24);
    for (let i = 0; i < 3; i++) assert.equal(leases.offer(`a${i}`, 0, 0), FIRST + i);
    assert.equal(leases.offer('late', 0, 0), NO_LEASE);
    assert.equal(leases.count, 3);
    assert.ok(leases.bind('a1', FIRST + 1, 90_000, 0));
    const later = leases.offer('late', 0, 30_000);
    assert.ok(later >= FIRST + 3, 'one that nobody ever had');
    assert.equal(leases.count, 3);
    assert.equal(leases.of('a0'), NO_LEASE);
    assert.equal(leases.of('a1'), FIRST + 1);
  });

  it('that ran out are given to others, the oldest first', () => {
    const leases = of(10, 2);
    assert.ok(leases.bind('a', FIRST, 2000, 0));
    assert.ok(leases.bind('b', FIRST + 1, 1000, 0));
    assert.equal(leases.offer('c', 0, 500), NO_LEASE);
    assert.equal(leases.offer('c', 0, 3000), FIRST + 1);
    assert.equal(leases.offer('d', 0, 3000), FIRST);
    assert.equal(leases.of('a'), NO_LEASE);
  });

  it('are searched for again when one is given back', () => {
    const leases = of(10, 1);
    assert.ok(leases.bind('a', FIRST, 100_000, 0));
    assert.equal(leases.offer('b', 0, 1), NO_LEASE);
    leases.release('a', FIRST, 2);
    assert.equal(leases.offer('b', 0, 3), FIRST);
  });

  it('cover addresses that are negative as numbers', () => {
    const leases = new DhcpLeases();
    leases.setPool(0xc0a80001 | 0, 0xc0a80002 | 0, nothing);
    assert.equal(leases.offer('a', 0, 0), 0xc0a80001 | 0);
    assert.equal(leases.offer('b', 0xc0a80002 | 0, 0), 0xc0a80002 | 0);
    assert.equal(leases.mayGive(0xc0a80003 | 0), false);
    leases.setPool(1, 0, nothing);
    assert.equal(leases.count, 0);
    assert.equal(leases.offer('a', 0, 0), NO_LEASE);
  });
});
