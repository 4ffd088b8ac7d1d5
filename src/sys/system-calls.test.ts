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
const NOT_OURS = /^(arch_specific_syscall|sync_file_range2)$/;
/** Between the table and the numbers that all architectures have in common: calls with a 64-bit time, for those with 32 bits. */
const FOR_32_BITS = { first: 403, last: 423 } as const;
