import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { listenUnix, UNIX_TYPE } from '../../sys/unix-socket.ts';
import { connectSystemLog, systemLogLine } from './system-log.ts';

describe("the system's log", () => {
  const folder = mkdtempSync(join(tmpdir(), 'tapster-log-'));
  after(() => rmSync(folder, { recursive: true }));

  it('hears how serious a message is, when it came, and from whom', () => {
    const now = new Date(2026, 10, 3, 4, 5, 6);
    assert.equal(systemLogLine('pasta', 42, 'info', 'hello', now), '<30>Nov  3 04:05:06 pasta[42]: hello');
    assert.equal(systemLogLine('passt', 7, 'error', 'no', now), '<27>Nov  3 04:05:06 passt[7]: no');
  });

  it('is written to by its socket, a datagram for each message, and holds nobody up who writes more than it reads', () => {
    const path = join(folder, 'socket');
    const listener = listenUnix(path, UNIX_TYPE.DATAGRAM);
    assert.ok(listener.ok);
    const log = connectSystemLog('pasta', path);
    for (let i = 0; i < 1000; i++) log('warning', `message ${i}`);
    const message = Buffer.alloc(200);
    const text = message.toString('utf8', 0, readSync(listener.value.fd, message));
    assert.match(text, new RegExp(`^<28>\\w{3} [ \\d]\\d \\d\\d:\\d\\d:\\d\\d pasta\\[${process.pid}\\]: message 0$`));
    closeSync(listener.value.fd);
    log('error', 'nobody is there');
  });

  it('is silence where there is none', () => {
    connectSystemLog('pasta', join(folder, 'nowhere'))('error', 'nobody is there');
  });
});
