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

  it('is bounded per interface', () => {
    const neighbours = new Neighbours(4);
    neighbours.learn(0, 0, 0, 0xffff, 1, 1, 1);
    for (let i = 0; i < 100; i++) neighbours.learn(1, 0, 0, 0xffff, i, 2, 2);
    assert.notEqual(neighbours.find(0, 0, 0, 0xffff, 1), NO_NEIGHBOUR);
    assert.equal(neighbours.find(1, 0, 0, 0xffff, 95), NO_NEIGHBOUR);
    assert.notEqual(neighbours.find(1, 0, 0, 0xffff, 96), NO_NEIGHBOUR);
  });
});
