import assert from 'node:assert/strict';
import { accessSync, constants } from 'node:fs';
import { test } from 'node:test';

test('the guest has the devices that it is booted for', () => {
  for (const device of ['/dev/net/tun', '/dev/vhost-net']) accessSync(device, constants.R_OK | constants.W_OK);
  assert.equal(process.env['TAPSTER_GUEST'], '1');
});
