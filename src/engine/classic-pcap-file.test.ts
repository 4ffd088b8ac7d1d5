import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { Packets } from '../packet/packets.ts';
import { readPcap } from '../packet/pcap.ts';
import { openClassicPcapFile } from './classic-pcap-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'tapster-pcap-'));
after(() => rmSync(folder, { recursive: true }));

describe('ClassicPcapFile', () => {
  it('has what came and went, in order, in the format that every reader knows', async () => {
    const path = join(folder, 'both.pcap');
    const opened = openClassicPcapFile(path, assert.fail);
    assert.ok(opened.ok);
    const packets = new Packets(1 << 20, 64);
    const begunS = Math.floor((performance.timeOrigin + performance.now()) / 1000);
    for (const [i, tell] of (['received', 'transmitted', 'received'] as const).entries()) {
      const packet = packets.allocate(60 + i);
      packets.bytes.fill(i, packets.start[packet], packets.end[packet]);
      opened.value[tell](packets, packet);
      opened.value.turnEnded();
    }
    await opened.value.close();
    const bytes = new Uint8Array(readFileSync(path));
    // Microseconds, little endian, version 2.4: what scripts look for.
    assert.deepEqual([...bytes.subarray(0, 8)], [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0]);
    const read = readPcap(bytes);
    assert.ok(read.ok && !read.value.truncated);
    assert.deepEqual(
      read.value.records.map(({ frame, originalBytes }) => [frame[0], frame.length, originalBytes]),
      [
        [0, 60, 60],
        [1, 61, 61],
        [2, 62, 62],
      ],
    );
    for (const { seconds, nanoseconds } of read.value.records) {
      assert.ok(seconds >= begunS && seconds <= begunS + 60 && nanoseconds < 1e9);
    }
  });

  it('tells once of a disk that takes nothing, and goes on', async () => {
    const reports: string[] = [];
    const opened = openClassicPcapFile('/dev/full', (message) => reports.push(message));
    assert.ok(opened.ok);
    await opened.value.close();
    assert.deepEqual(reports, ['capture "/dev/full": ENOSPC; the capture ends here']);
  });
});
