import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { identityOf } from './run-as.ts';

const PASSWD = 'root:x:0:0:root:/root:/bin/sh\nann:x:1000:1001::/home/ann:/bin/sh\nbroken:x:-:\n';
const GROUPS = 'root:x:0:\nannes:x:1001:\nkvm:x:105:ann\n';

function identity(user: string, group?: string): unknown {
  const found = identityOf({ user, group }, PASSWD, GROUPS);
  return found.ok ? [found.value.uid, found.value.gid] : found.failure.code;
}

describe('--runas', () => {
  it('takes a login or a number, with its own group', () => {
    assert.deepEqual(identity('ann'), [1000, 1001]);
    assert.deepEqual(identity('1000'), [1000, 1001]);
    assert.deepEqual(identity('root'), [0, 0]);
  });

  it('takes a number that nobody has, with the group of the same number', () => {
    assert.deepEqual(identity('4711'), [4711, 4711]);
  });

  it('takes another group, by name or number', () => {
    assert.deepEqual(identity('ann', 'kvm'), [1000, 105]);
    assert.deepEqual(identity('ann', '7'), [1000, 7]);
  });

  it('refuses who is not there, and the number that is nobody', () => {
    assert.equal(identity('nosuch'), 'user-unknown');
    assert.equal(identity('broken'), 'user-unknown');
    assert.equal(identity('4294967295'), 'user-unknown');
    assert.equal(identity('ann', 'nosuch'), 'group-unknown');
    assert.equal(identity('ann', '4294967295'), 'group-unknown');
  });
});
