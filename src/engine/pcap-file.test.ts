import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { eventually } from '../base/eventually-fixture.test.ts';
import { Packets } from '../packet/packets.ts';
import { DIRECTION_INBOUND, DIRECTION_OUTBOUND } from '../packet/pcapng.ts';
import { readPcapng } from '../packet/pcapng-read.ts';
import type { FlowRecord } from './flow-record.ts';
import { flowRecord } from './flow-record-fixture.test.ts';
import { openPcapFile, type PcapFile } from './pcap-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'tapster-pcap-'));
after(() => rmSync(folder, { recursive: true }));

const hasTshark = spawnSync('tshark', ['--version']).status === 0;

/** An ARP request, which every reader understands. */
const ARP_REQUEST = Uint8Array.from(
  Buffer.from('ffffffffffff02000000000108060001080006040001020000000001c0000201000000000000c0000202', 'hex'),
);

interface Fixture {
  readonly file: PcapFile;
  readonly path: string;
  readonly packets: Packets;
  readonly ids: Float64Array;
  readonly reports: string[];
}

function open(name: string, records: readonly FlowRecord[] = [flowRecord()]): Fixture {
  const path = join(folder, name);
  const ids = Float64Array.from(records, (record) => record.id);
  const reports: string[] = [];
  const description = { interfaceName: 'eth0', application: 'tapster test', comment: 'tapster run -- true' };
  const flows = { ids, describe: (row: number): FlowRecord => records[row] };
  const opened = openPcapFile(path, description, flows, (message) => reports.push(message));
  assert.ok(opened.ok);
  return { file: opened.value, path, packets: new Packets(1 << 20, 64), ids, reports };
}

function makePacket(packets: Packets, flow: number): number {
  const packet = packets.allocate(ARP_REQUEST.length);
  packets.bytes.set(ARP_REQUEST, packets.start[packet]);
  packets.flow[packet] = flow;
  return packet;
}

function read(path: string) {
  const result = readPcapng(new Uint8Array(readFileSync(path)));
  assert.ok(result.ok);
  assert.equal(result.value.truncated, false);
  return result.value;
}

describe('PcapFile', () => {
  it('writes frames both ways, with a comment on the first packet of a flow although its flow is known later', async () => {
    const { file, path, packets } = open('both.pcapng');
    const unrelated = makePacket(packets, -1);
    file.received(packets, unrelated);
    const first = makePacket(packets, -1);
    file.received(packets, first);
    const second = makePacket(packets, -1);
    file.received(packets, second);
    packets.flow[first] = 0;
    packets.flow[second] = 0;
    file.transmitted(packets, makePacket(packets, 0));
    file.turnEnded(packets);
    await file.close();
    const capture = read(path);
    assert.equal(capture.interfaces[0].name, 'eth0');
    assert.deepEqual(
      capture.packets.map((packet) => packet.direction),
      [DIRECTION_INBOUND, DIRECTION_INBOUND, DIRECTION_INBOUND, DIRECTION_OUTBOUND],
    );
    assert.deepEqual(
      capture.packets.map((packet) => packet.comments),
      [[], ['flow 7: tcp 10.0.2.15:40312 > example.org:443 (192.0.2.7)'], [], []],
    );
    for (const packet of capture.packets) assert.deepEqual(Uint8Array.from(packet.frame), ARP_REQUEST);
  });

  it('tells of several flows in one turn, each on its own first packet', async () => {
    const { file, path, packets } = open('several.pcapng', [flowRecord({ id: 1 }), flowRecord({ id: 2 })]);
    const frames = [makePacket(packets, -1), makePacket(packets, -1), makePacket(packets, -1)];
    for (const packet of frames) file.received(packets, packet);
    packets.flow.set([0, 1, 0], frames[0]);
    file.turnEnded(packets);
    await file.close();
    const comments = read(path).packets.map((packet) => packet.comments[0]?.split(':')[0]);
    assert.deepEqual(comments, ['flow 1', 'flow 2', undefined]);
  });

  it('says how a flow ended on its own packet of that turn, else on the next one of any flow, else in the end', async () => {
    const records = [flowRecord({ id: 1 }), flowRecord({ id: 2 }), flowRecord({ id: 3 })];
    const { file, path, packets } = open('endings.pcapng', records);
    for (const row of [0, 1, 2]) file.transmitted(packets, makePacket(packets, row));
    const last = makePacket(packets, -1);
    file.received(packets, last);
    packets.flow[last] = 0;
    file.closed(records[0]);
    file.turnEnded(packets);
    file.closed(records[1]);
    file.transmitted(packets, makePacket(packets, -1));
    file.closed(records[2]);
    await file.close();
    const comments = read(path).packets.map((packet) => packet.comments[0] ?? '');
    assert.match(comments[3], /^flow 1 closed after 1.25 s: 517 B sent, 4.20 kB received$/);
    assert.match(comments[4], /^flow 2 closed/);
    assert.match(readFileSync(path, 'latin1'), /flow 3 closed/);
  });

  it('tells a row of the flow table from its earlier tenant', async () => {
    const { file, path, packets, ids } = open('rows.pcapng');
    file.transmitted(packets, makePacket(packets, 0));
    ids[0] = 8;
    file.transmitted(packets, makePacket(packets, 0));
    await file.close();
    const comments = read(path).packets.map((packet) => packet.comments[0]?.split(':')[0]);
    assert.deepEqual(comments, ['flow 7', 'flow 8']);
  });

  it('writes each name once, and harmless', async () => {
    const { file, path } = open('names.pcapng');
    file.opened(flowRecord());
    file.opened(flowRecord());
    file.opened(flowRecord({ name: '\u001b[31mred' }));
    file.opened(flowRecord({ name: undefined }));
    await file.close();
    const names = read(path).names.map(({ address, names }) => `${address} ${names.join(',')}`);
    assert.deepEqual(names, ['192.0.2.7 example.org', '192.0.2.7 \\x1b[31mred']);
  });

  it('can be read while it grows', async () => {
    const { file, path, packets } = open('growing.pcapng');
    file.transmitted(packets, makePacket(packets, -1));
    file.turnEnded(packets);
    // The file's head goes out behind our back too: until then it is empty.
    const packetCount = (): number => (statSync(path).size === 0 ? 0 : read(path).packets.length);
    await eventually('it is written', () => packetCount() > 0);
    assert.equal(packetCount(), 1);
    await file.close();
  });

  it('gives up with one report when the disk is full', async (t) => {
    const reports: string[] = [];
    const flows = { ids: new Float64Array(1), describe: () => flowRecord() };
    const opened = openPcapFile('/dev/full', { interfaceName: 'eth0', application: 'test' }, flows, (message) =>
      reports.push(message),
    );
    if (!opened.ok) return t.skip('/dev/full is not there');
    const packets = new Packets(1 << 20, 64);
    await new Promise((done) => setTimeout(done, 20));
    opened.value.received(packets, makePacket(packets, -1));
    opened.value.turnEnded(packets);
    await opened.value.close();
    assert.deepEqual(reports, ['capture "/dev/full": ENOSPC; the capture ends here']);
  });

  it('is understood by tshark', { skip: hasTshark ? false : 'tshark is not installed' }, async () => {
    const { file, path, packets } = open('tshark.pcapng');
    file.opened(flowRecord());
    file.transmitted(packets, makePacket(packets, 0));
    file.closed(flowRecord());
    await file.close();
    const fields = ['-T', 'fields', '-e', 'frame.comment', '-e', 'arp.opcode', '-e', 'frame.packet_flags_direction'];
    const result = spawnSync('tshark', ['-r', path, ...fields], { encoding: 'utf8' });
    assert.equal(result.status, 0, result.stderr);
    assert.match(result.stdout, /^flow 7: tcp .*\t1\t/);
  });
});
