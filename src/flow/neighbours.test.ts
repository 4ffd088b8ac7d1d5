import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Neighbours, NO_NEIGHBOUR } from './neighbours.ts';

describe('Neighbours', () => {
  it('knows who was learnt, on the interface where it was', () => {
    const neighbours = new Neighbours();
    assert.equal(neighbours.find(0, 0, 0, 0xffff, 1), NO_NEIGHBOUR);
    neighbours.learn(1, 0, 0, 0xffff, 1, 0x0255, -2);
    const neighbour = neighbours.find(1, 0, 0, 0xffff, 1);
    assert.equal(neighbours.macHigh(1, neighbour), 0x0255);
    assert.equal(neighbours.macLow(1, neighbour), -2);
    assert.equal(neighbours.find(0, 0, 0, 0xffff, 1), NO_NEIGHBOUR);
    neighbours.learn(1, 0, 0, 0xffff, 1, 0x0266, 7);
    assert.equal(neighbours.macHigh(1, neighbours.find(1, 0, 0, 0xffff, 1)), 0x0266);
  });

  it('takes an address that is expected for where its guest spoke from last, until it speaks itself', () => {
    const neighbours = new Neighbours(4);
    neighbours.expect(1, 0, 0, 0xffff, 9);
    assert.equal(neighbours.find(1, 0, 0, 0xffff, 9), NO_NEIGHBOUR);
    for (const mac of [7, 8]) {
      neighbours.learn(1, 0, 0, 0xffff, mac, 0x0255, mac);
      assert.equal(neighbours.macLow(1, neighbours.find(1, 0, 0, 0xffff, 9)), mac);
    }
    neighbours.learn(1, 0, 0, 0xffff, 9, 0x0255, 1);
    neighbours.learn(1, 0, 0, 0xffff, 7, 0x0255, 7);
    assert.equal(neighbours.macLow(1, neighbours.find(1, 0, 0, 0xffff, 9)), 1);
    assert.equal(neighbours.find(1, 0, 0, 0xffff, 10), NO_NEIGHBOUR);
    assert.equal(neighbours.find(0, 0, 0, 0xffff, 9), NO_NEIGHBOUR);
  });

  it('is bounded per interface', () => {
    const neighbours = new Neighbours(4);
    neighbours.learn(0, 0, 0, 0xffff, 1, 1, 1);
    for (let i = 0; i < 100; i++) neighbours.learn(1, 0, 0, 0xffff, i, 2, 2);
    assert.notEqual(neighbours.find(0, 0, 0, 0xffff, 1), NO_NEIGHBOUR);
    assert.equal(neighbours.find(1, 0, 0, 0xffff, 95), NO_NEIGHBOUR);
    assert.notEqual(neighbours.find(1, 0, 0, 0xffff, 96), NO_NEIGHBOUR);
  });
});
