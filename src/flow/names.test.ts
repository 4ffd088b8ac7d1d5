import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { NameTable } from './names.ts';

/** The question "WWW.debian.org A" at offset 12; "debian.org" starts at offset 16. */
const QUESTION = '03 575757 06 64656269616e 03 6f7267 00 0001 0001';
const ALIAS_STATIC = '0005 0001 00000e10 0009 06 737461746963 c010';

describe('NameTable', () => {
  it('learns the name that was asked for, through aliases', () => {
    const names = new NameTable();
    const message = answer(2, QUESTION, `c00c ${ALIAS_STATIC}`, 'c02c 0001 0001 0000012c 0004 8259944d');
    assert.equal(learn(names, message), 1);
    assert.equal(names.lookup(0, 0, 0xffff, 0x8259944d | 0), 'www.debian.org');
    assert.equal(names.lookup(0, 0, 0, 0x8259944d | 0), undefined);
    assert.equal(names.count, 1);
  });

  it('follows aliases in any order, and takes several addresses of both families', () => {
    const names = new NameTable();
    const message = answer(
      4,
      QUESTION,
      '06 737461746963 c010 0001 0001 0000012c 0004 01020304',
      '06 737461746963 c010 001c 0001 0000012c 0010 20010db8000000000000000000000001',
      `c00c ${ALIAS_STATIC}`,
      '06 537461746963 c010 0001 0001 0000012c 0004 01020305',
    );
    assert.equal(learn(names, message), 3);
    assert.equal(names.lookup(0, 0, 0xffff, 0x01020304), 'www.debian.org');
    assert.equal(names.lookup(0, 0, 0xffff, 0x01020305), 'www.debian.org');
    assert.equal(names.lookup(0x20010db8, 0, 0, 1), 'www.debian.org');
  });

  it('does not learn what the question does not lead to, nor what is no answer', () => {
    const names = new NameTable();
    const address = '0001 0001 0000012c 0004 01020304';
    const stray = answer(1, QUESTION, `04 65766969 00 ${address}`);
    assert.equal(learn(names, stray), 0);
    const good = answer(1, QUESTION, `c00c ${address}`);
    for (const [at, value] of [
      [2, 0x01], // a query
      [3, 0x83], // no such name
      [5, 0x00], // no question: the counts and the bytes no longer agree
      [good.length - 5, 0x05], // the data leaves the message
      [good.length - 8, 0x01], // a TTL: makes no difference
    ]) {
      const changed = good.slice();
      changed[at] = value;
      assert.equal(learn(new NameTable(), changed), at === good.length - 8 ? 1 : 0, `byte ${at}`);
    }
    for (let end = 0; end < good.length; end++) assert.equal(names.learn(viewOf(good), 0, end), 0);
  });

  it('ends on aliases that lead around in circles', () => {
    const names = new NameTable();
    const message = answer(2, QUESTION, 'c00c 0005 0001 00000000 0002 c00c', 'c00c 0001 0001 00000000 0004 01020304');
    assert.equal(learn(names, message), 1);
  });

  it('keeps the newest name of an address, and the newest addresses', () => {
    const names = new NameTable(2);
    const message = answer(1, '01 61 00 0001 0001', 'c00c 0001 0001 00000000 0004 0a000001');
    learn(names, message);
    message[13] = 0x62;
    learn(names, message);
    assert.equal(names.lookup(0, 0, 0xffff, 0x0a000001), 'b');
    for (const last of [2, 3]) {
      message[message.length - 1] = last;
      learn(names, message);
    }
    assert.equal(names.lookup(0, 0, 0xffff, 0x0a000001), undefined);
    assert.equal(names.lookup(0, 0, 0xffff, 0x0a000003), 'b');
    assert.equal(names.count, 2);
  });

  it('survives random bytes and damaged answers', () => {
    const names = new NameTable(16);
    const good = answer(2, QUESTION, `c00c ${ALIAS_STATIC}`, 'c02c 0001 0001 0000012c 0004 8259944d');
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255))), (damages) => {
        const damaged = good.slice();
        for (const [at, value] of damages) damaged[at] = value;
        learn(names, damaged);
      }),
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (random) => void learn(names, random)));
  });
});

function learn(names: NameTable, message: Uint8Array): number {
  return names.learn(viewOf(message), 0, message.length);
}

function answer(records: number, ...hex: string[]): Uint8Array {
  const header = `8f3a 8180 0001 000${records} 0000 0000`;
  return Uint8Array.from(Buffer.from([header, ...hex].join('').replaceAll(' ', ''), 'hex'));
}

function viewOf(memory: Uint8Array): DataView {
  return new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
}
