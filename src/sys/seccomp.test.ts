import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assembleFilter, type CallPolicy, SECCOMP_RET } from './seccomp.ts';
import { runFilter } from './seccomp-fixture.test.ts';
import { systemCalls } from './system-calls.ts';

const { ALLOW, ERRNO, KILL_PROCESS, TRAP } = SECCOMP_RET;
const X64 = systemCalls('x64')!;
const POLICY: CallPolicy = {
  allowed: ['read', 'write', 'no_such_call'],
  refused: [{ errno: 13, calls: ['mkdir', 'rename'] }],
  conditional: [
    {
      call: 'socket',
      when: [
        [
          { argument: 0, values: [2, 10] },
          { argument: 1, mask: 0xf, values: [1] },
        ],
        [
          { argument: 0, values: [2, 10] },
          { argument: 1, mask: 0xf, values: [2] },
          { argument: 2, values: [17, 1] },
        ],
      ],
      otherwise: 'trap',
    },
    { call: 'io_uring_enter', when: [], otherwise: 38 },
  ],
};
const PROGRAM = assembleFilter(POLICY, X64);

function judge(name: string, ...words: number[]): number {
  return runFilter(PROGRAM, { number: X64.numbers.get(name)!, architecture: X64.architecture, arguments: words });
}

describe('a filter of system calls', () => {
  it('allows what is allowed, refuses what is refused, and traps the rest', () => {
    assert.deepEqual(
      ['read', 'write'].map((name) => judge(name)),
      [ALLOW, ALLOW],
    );
    assert.deepEqual(
      ['mkdir', 'rename'].map((name) => judge(name)),
      [ERRNO | 13, ERRNO | 13],
    );
    assert.deepEqual(
      ['execve', 'listns'].map((name) => judge(name)),
      [TRAP, TRAP],
    );
  });

  it('looks at arguments, in all their alternatives', () => {
    assert.equal(judge('socket', 2, 1, 0), ALLOW);
    assert.equal(judge('socket', 10, 1 | 0x80800, 6), ALLOW);
    assert.equal(judge('socket', 10, 2, 17), ALLOW);
    assert.equal(judge('socket', 2, 2, 1), ALLOW);
    assert.equal(judge('socket', 2, 2, 33), TRAP);
    assert.equal(judge('socket', 1, 1, 0), TRAP);
    assert.equal(judge('socket', 2, 3, 17), TRAP);
    assert.equal(judge('io_uring_enter', 5), ERRNO | 38);
  });

  it('says of calls newer than its table that there is none', () => {
    const call = { architecture: X64.architecture, arguments: [] };
    assert.equal(runFilter(PROGRAM, { ...call, number: X64.names.length }), ERRNO | 38);
    assert.equal(runFilter(PROGRAM, { ...call, number: X64.names.length - 1 }), TRAP);
    assert.equal(runFilter(PROGRAM, { ...call, number: 400 }), TRAP);
  });

  it('kills for another architecture, and for numbers of x32', () => {
    const call = { architecture: X64.architecture, arguments: [], number: 0 };
    assert.equal(runFilter(PROGRAM, { ...call, architecture: 0x40000003 }), KILL_PROCESS);
    assert.equal(runFilter(PROGRAM, { ...call, number: 0x40000000 }), KILL_PROCESS);
    assert.equal(runFilter(PROGRAM, { ...call, number: -1 }), KILL_PROCESS);
  });

  it('has a bound for its jumps', () => {
    const values = Array.from({ length: 300 }, (_, i) => i);
    const conditional = [{ call: 'ioctl', when: [[{ argument: 1, values }]], otherwise: 1 }];
    assert.throws(() => assembleFilter({ allowed: [], refused: [], conditional }, X64), RangeError);
  });
});
