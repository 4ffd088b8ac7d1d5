/** Memory for vhost-user, as much as QEMU's `-m` says. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseMemorySize, sharedMemoryArguments } from './qemu-memory.ts';

const MIB = 1024 * 1024;

function sizeFor(...command: string[]): number | undefined {
  const result = sharedMemoryArguments(['qemu-system-x86_64', ...command]);
  assert.ok(result.ok);
  const size = /size=(\d+)$/.exec(result.value[1] ?? '')?.[1];
  return size === undefined ? undefined : Number(size);
}

describe('the size of a memory', () => {
  for (const [text, bytes] of [
    ['512', 512 * MIB],
    ['512M', 512 * MIB],
    ['512m', 512 * MIB],
    ['1G', 1024 * MIB],
    ['1.5G', 1536 * MIB],
    ['1.G', 1024 * MIB],
    ['0.25g', 256 * MIB],
    ['1048576k', 1024 * MIB],
    ['134217728b', 128 * MIB],
    [' +1G', 1024 * MIB],
    ['1T', 1024 * 1024 * MIB],
    ['0x200', 512 * MIB],
    ['1000000b', 1_007_616],
    ['0', 0],
  ] as const) {
    it(`of ${text} is ${bytes} bytes`, () => assert.equal(parseMemorySize(text), BigInt(bytes)));
  }

  for (const text of ['', 'x', '1GB', '-1', '1.5', '1.5b', '1,5G', '1e3', '0x', '.5G', '1G ']) {
    it(`is none of "${text}"`, () => assert.equal(parseMemorySize(text), undefined));
  }
});

describe('memory that vhost-user can work on', () => {
  it('is added, with the size of -m', () => {
    const words = sharedMemoryArguments(['qemu-system-x86_64', '-m', '1G', 'disk.img']);
    assert.deepEqual(words.ok && words.value, [
      '-object',
      'memory-backend-memfd,id=tapster-memory,share=on,size=1073741824',
      '-machine',
      'memory-backend=tapster-memory',
    ]);
  });

  it('has the size that the command says, as it may say it', () => {
    assert.equal(sizeFor(), 128 * MIB, "QEMU's own");
    assert.equal(sizeFor('-m', '0'), 128 * MIB);
    assert.equal(sizeFor('--m', '256'), 256 * MIB);
    assert.equal(sizeFor('-m', '256', '-m', '1G'), 1024 * MIB, 'the last one counts');
    assert.equal(sizeFor('-m', 'size=1G,slots=2,maxmem=4G'), 1024 * MIB);
    assert.equal(sizeFor('-m', '2G,slots=2,maxmem=4G'), 2048 * MIB);
    assert.equal(sizeFor('-m', 'slots=2,maxmem=4G'), 128 * MIB);
    assert.equal(sizeFor('-m', '1G', '-m', 'slots=2,maxmem=4G'), 1024 * MIB);
    assert.equal(sizeFor('-m'), 128 * MIB, 'QEMU says what is wrong');
    assert.equal(sizeFor('-device', 'pc-dimm,memdev=more', '-m', '1G'), 1024 * MIB);
  });

  it('is that of the command, if it gives some', () => {
    for (const words of [
      [
        '-object',
        'memory-backend-file,id=ram,share=on,mem-path=/dev/shm/x,size=1G',
        '-machine',
        'q35,memory-backend=ram',
      ],
      ['-M', 'memory-backend=ram'],
      ['--numa', 'node,memdev=ram'],
    ]) {
      assert.equal(sizeFor('-m', '1G', ...words), undefined, words.join(' '));
    }
  });

  it('is refused where the command says what can not be', () => {
    const size = sharedMemoryArguments(['qemu-system-x86_64', '-m', '1GB']);
    assert.match(!size.ok ? size.failure.message : '', /-m 1GB: the size is none that QEMU takes/);
    const file = sharedMemoryArguments(['qemu-system-x86_64', '-m', '1G', '-mem-path', '/dev/hugepages']);
    assert.equal(!file.ok && file.failure.code, 'memory-not-shared');
  });
});
