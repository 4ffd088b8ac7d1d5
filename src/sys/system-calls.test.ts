import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { systemCalls } from './system-calls.ts';

/** Of linux-libc-dev, where it is installed. */
const HEADERS = {
  x64: ['/usr/include/x86_64-linux-gnu/asm/unistd_64.h', '/usr/include/asm/unistd_64.h'],
  arm64: ['/usr/include/asm-generic/unistd.h'],
} as const;

/** Some calls have two numbers in the generic table, of which 64-bit architectures use the one under this name. */
const RENAMED: Readonly<Record<string, string>> = { fstatat: 'newfstatat' };
/** Only for architectures with 32 bits, or a place in the table that each architecture fills itself. */
const NOT_OURS = /^(arch_specific_syscall|sync_file_range2|syscalls)$/;
/** Between the table and the numbers that all architectures have in common: calls with a 64-bit time, for those with 32 bits. */
const FOR_32_BITS = { first: 403, last: 423 } as const;

function declared(text: string): [name: string, number: number][] {
  return [...text.matchAll(/^#define __NR(?:3264)?_(\w+)\s+(\d+)$/gm)]
    .map(([, name = '', number]): [string, number] => [RENAMED[name] ?? name, Number(number)])
    .filter(([name]) => !NOT_OURS.test(name));
}

describe('the tables of system calls', () => {
  for (const architecture of ['x64', 'arm64'] as const) {
    it(`say what the kernel's headers say, for ${architecture}`, (t) => {
      const header = HEADERS[architecture].find((path) => existsSync(path));
      if (header === undefined) return t.skip(`none of ${HEADERS[architecture].join(', ')} is there`);
      const { names, numbers } = systemCalls(architecture)!;
      const expected = declared(readFileSync(header, 'utf8'));
      assert.ok(expected.length > 280);
      for (const [name, number] of expected) {
        if (number >= names.length || (number >= FOR_32_BITS.first && number <= FOR_32_BITS.last)) continue;
        assert.equal(numbers.get(name), number, name);
        assert.equal(names[number], name);
      }
    });
  }

  it('agree from 424 on', () => {
    const [x64, arm64] = [systemCalls('x64')!, systemCalls('arm64')!];
    assert.equal(x64.names.length, arm64.names.length);
    assert.deepEqual(x64.names.slice(424), arm64.names.slice(424));
    assert.equal(x64.numbers.get('mseal'), 462);
  });

  it('do not exist for other architectures', () => {
    assert.equal(systemCalls('riscv64'), undefined);
  });
});
