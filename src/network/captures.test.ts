import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { eventually } from '../base/eventually-fixture.test.ts';
import { CAPTURES_ENDED_MAX, CAPTURES_MAX } from '../base/limits.ts';
import { CapturePoint } from '../link/capture-point.ts';
import { NO_OFFLOAD } from '../packet/offload.ts';
import { Packets } from '../packet/packets.ts';
import { readPcap } from '../packet/pcap.ts';
import { DIRECTION_INBOUND, DIRECTION_OUTBOUND } from '../packet/pcapng.ts';
import { readPcapng } from '../packet/pcapng-read.ts';
import { createCaptureFile } from './capture-file.ts';
import { Captures } from './captures.ts';
import type { CaptureView } from './views.ts';

const folder = mkdtempSync(join(tmpdir(), 'tapster-captures-'));
after(() => rmSync(folder, { recursive: true }));

const hasTcpdump = spawnSync('tcpdump', ['--version']).status === 0;
const hasTshark = spawnSync('tshark', ['--version']).status === 0;

const ARP = 'ffffffffffff02000000000108060001080006040001020000000001c0000201000000000000c0000202';
/** 10.0.0.1:40000 > 10.0.0.2:80, a SYN. */
const SYN =
  '0200000000020200000000010800450000280001400040060000' +
  '0a0000010a000002' +
  '9c4000500000000100000000500204000000' +
  '0000';

/** An interface: what it receives is asked for, and it takes everything. */
class Wire {
  readonly packets: Packets = new Packets(1 << 20, 64);
  readonly point: CapturePoint;
  #arriving: string[] = [];

  constructor(name: string) {
    const wire = this;
    this.point = new CapturePoint({
      name,
      offload: NO_OFFLOAD,
      receive(packets, frame) {
        const count = wire.#arriving.length;
        wire.#arriving.forEach((hex, i) => {
          frame[i] = make(packets, hex);
        });
        wire.#arriving = [];
        return count;
      },
      transmit: (_packets, _frame, count) => count,
      close() {},
    });
  }

  /** A turn in which these come in and those go out. */
  turn(received: readonly string[], sent: readonly string[] = []): void {
    this.packets.reset();
    this.#arriving = [...received];
    this.point.receive(this.packets, new Int32Array(16), 16);
    const frame = Int32Array.from(sent, (hex) => make(this.packets, hex));
    this.point.transmit(this.packets, frame, frame.length);
    this.point.turnEnded(this.packets);
  }
}

function make(packets: Packets, hex: string): number {
  const bytes = Buffer.from(hex, 'hex');
  const packet = packets.allocate(bytes.length);
  packets.bytes.set(bytes, packets.start[packet]);
  return packet;
}

interface Fixture {
  readonly captures: Captures;
  readonly tap0: Wire;
  readonly tap1: Wire;
  readonly ended: CaptureView[];
}

function fixture(): Fixture {
  const ended: CaptureView[] = [];
  const captures = new Captures({ application: 'tapster test', onEnded: (view) => ended.push(view) });
  const [tap0, tap1] = [new Wire('tap0'), new Wire('tap1')];
  captures.addInterface(1, 'tap0', tap0.point);
  return { captures, tap0, tap1, ended };
}

let files = 0;
function newFile(extension: string = 'pcapng'): string {
  return join(folder, `${files++}.${extension}`);
}

function read(path: string) {
  const result = readPcapng(new Uint8Array(readFileSync(path)));
  assert.ok(result.ok);
  assert.equal(result.value.truncated, false);
  return result.value;
}

function started(captures: Captures, options: Parameters<Captures['start']>[0]): CaptureView {
  const result = captures.start(options);
  assert.ok(result.ok, result.ok ? '' : result.failure.message);
  return result.value;
}

async function stopped(captures: Captures, name: string): Promise<CaptureView> {
  const result = await captures.stop(name);
  assert.ok(result.ok);
  return result.value;
}

function code(captures: Captures, options: Parameters<Captures['start']>[0]): string {
  const result = captures.start(options);
  return result.ok ? 'none' : result.failure.code;
}

describe('Captures', () => {
  it('write what comes and goes while they run, with its direction', async () => {
    const { captures, tap0, ended } = fixture();
    const file = newFile();
    tap0.turn([ARP]);
    const view = started(captures, { interface: 'tap0', file });
    assert.deepEqual(view, {
      name: 'tap0',
      interface: 'tap0',
      file,
      directions: ['rx', 'tx'],
      packets: 0,
      bytes: 0,
      filtered: 0,
      active: true,
    });
    tap0.turn([ARP, SYN], [SYN]);
    const last = await stopped(captures, 'tap0');
    tap0.turn([ARP]);
    assert.deepEqual([last.packets, last.bytes, last.active, last.ended], [3, 42 + 54 + 54, false, 'stopped']);
    assert.deepEqual(ended, [last]);
    assert.deepEqual(captures.list(), []);
    const { interfaces, packets } = read(file);
    assert.deepEqual(
      interfaces.map(({ name }) => name),
      ['tap0'],
    );
    assert.deepEqual(
      packets.map(({ direction }) => direction),
      [DIRECTION_INBOUND, DIRECTION_INBOUND, DIRECTION_OUTBOUND],
    );
    assert.deepEqual(
      packets.map(({ frame }) => Buffer.from(frame).toString('hex')),
      [ARP, SYN, SYN],
    );
    assert.equal(statSync(file).mode & 0o777, 0o600);
  });

  it('of any interface see all that there are and those that come, each by its name', async () => {
    const { captures, tap0, tap1, ended } = fixture();
    const file = newFile();
    started(captures, { interface: 'any', file, name: 'all' });
    tap0.turn([ARP]);
    captures.addInterface(2, 'tap1', tap1.point);
    tap1.turn([SYN], [ARP]);
    captures.removeInterface(1);
    tap0.turn([SYN]);
    tap1.turn([SYN]);
    await captures.close();
    assert.equal(ended[0]?.ended, 'the network has ended');
    const { interfaces, packets } = read(file);
    assert.deepEqual(
      interfaces.map(({ name }) => name),
      ['tap0', 'tap1'],
    );
    assert.deepEqual(
      packets.map((packet) => packet.interfaceIndex),
      [0, 1, 1, 1],
    );
  });

  it('see the links of all queues of an interface as one', async () => {
    const { captures, tap0 } = fixture();
    const second = new Wire('tap0');
    captures.addInterface(1, 'tap0', second.point);
    const file = newFile();
    started(captures, { interface: 'tap0', file });
    tap0.turn([ARP]);
    second.turn([ARP]);
    assert.equal((await stopped(captures, 'tap0')).packets, 2);
    assert.equal(read(file).interfaces.length, 1);
  });

  it('take what their filter and their directions want, and count what the filter refuses', async () => {
    const { captures, tap0 } = fixture();
    const [web, out] = [newFile(), newFile()];
    started(captures, { interface: 'tap0', file: web, filter: 'tcp port 80', name: 'web' });
    started(captures, { interface: 'tap0', file: out, directions: ['tx'], name: 'out' });
    tap0.turn([ARP, SYN, ARP], [ARP]);
    const view = await stopped(captures, 'web');
    assert.deepEqual([view.packets, view.filtered, view.filter], [1, 3, 'tcp port 80']);
    assert.deepEqual((await stopped(captures, 'out')).directions, ['tx']);
    assert.deepEqual(
      read(out).packets.map(({ direction }) => direction),
      [DIRECTION_OUTBOUND],
    );
  });

  it('end by themselves at their limit of packets, and say so once the file is complete', async () => {
    const { captures, tap0, ended } = fixture();
    const file = newFile();
    started(captures, { interface: 'tap0', file, packetsMax: 2 });
    tap0.turn([ARP, SYN, ARP]);
    assert.equal(captures.list()[0].active, false);
    await eventually('it has ended', () => ended.length === 1);
    assert.equal(read(file).packets.length, 2);
    assert.deepEqual([ended[0].packets, ended[0].ended], [2, 'it has its 2 packets']);
    started(captures, { interface: 'tap0', file: newFile() });
    assert.deepEqual(
      captures.list().map(({ name }) => name),
      ['tap0', 'tap0-2'],
    );
    assert.ok((await captures.stop('tap0')).ok);
    await captures.close();
  });

  it('end before they have more bytes than they may, and cut packets where asked to', async () => {
    const { captures, tap0, ended } = fixture();
    const file = newFile();
    started(captures, { interface: 'tap0', file, bytesMax: 50, bytesPerPacketMax: 20 });
    tap0.turn([ARP, SYN, ARP]);
    await eventually('it has ended', () => ended.length === 1);
    assert.deepEqual([ended[0].packets, ended[0].bytes], [2, 40]);
    assert.match(ended[0].ended ?? '', /50 bytes/);
    const { packets } = read(file);
    assert.deepEqual(
      packets.map(({ frame, originalBytes }) => [frame.length, originalBytes]),
      [
        [20, 42],
        [20, 54],
      ],
    );
  });

  it('end with their interface', async () => {
    const { captures, ended } = fixture();
    started(captures, { interface: 'tap0', file: newFile() });
    captures.removeInterface(1);
    await eventually('it has ended', () => ended.length === 1);
    assert.equal(ended[0].ended, 'interface tap0 is gone');
    assert.equal(code(captures, { interface: 'tap0', file: newFile() }), 'capture-interface-unknown');
  });

  it('write classic pcap of one interface', async () => {
    const { captures, tap0 } = fixture();
    const file = newFile('pcap');
    started(captures, { interface: 'tap0', file });
    tap0.turn([ARP, SYN]);
    await stopped(captures, 'tap0');
    const result = readPcap(new Uint8Array(readFileSync(file)));
    assert.ok(result.ok);
    assert.deepEqual(
      result.value.records.map(({ frame }) => frame.length),
      [42, 54],
    );
    assert.equal(code(captures, { interface: 'any', file: newFile('pcap') }), 'capture-file-invalid');
  });

  it('refuse what makes no sense, and leave files alone that are there', async () => {
    const { captures } = fixture();
    const there = newFile();
    writeFileSync(there, 'precious');
    const all = { interface: 'tap0', file: newFile() };
    assert.equal(code(captures, { ...all, file: there }), 'capture-file-exists');
    assert.equal(readFileSync(there, 'utf8'), 'precious');
    assert.equal(code(captures, { ...all, file: join(folder, 'no', 'x') }), 'capture-file-not-writable');
    assert.equal(code(captures, { ...all, file: 'relative.pcapng' }), 'capture-file-invalid');
    assert.equal(code(captures, { ...all, file: '/tmp/\0' }), 'capture-file-invalid');
    assert.equal(code(captures, { ...all, interface: 'tap9' }), 'capture-interface-unknown');
    assert.equal(code(captures, { ...all, filter: 'prot 80' }), 'filter-invalid');
    assert.equal(code(captures, { ...all, name: '../x' }), 'capture-name-invalid');
    assert.equal(code(captures, { ...all, packetsMax: 0 }), 'capture-limit-invalid');
    assert.equal(code(captures, { ...all, bytesMax: 1.5 }), 'capture-limit-invalid');
    assert.equal(code(captures, { ...all, bytesPerPacketMax: 13 }), 'capture-limit-invalid');
    assert.equal(code(captures, { ...all, directions: [] }), 'capture-directions-invalid');
    assert.equal(code(captures, { ...all, name: 'one' }), 'none');
    assert.equal(code(captures, { ...all, name: 'one', file: newFile() }), 'capture-name-taken');
    const unknown = await captures.stop('two');
    assert.equal(unknown.ok ? '' : unknown.failure.message, 'there is no capture "two"; there are one');
    await captures.close();
  });

  it('are bounded, those that run and those that have ended', async () => {
    const { captures, ended } = fixture();
    const start = (): string => code(captures, { interface: 'tap0', file: newFile() });
    for (let round = 1; round <= 2; round++) {
      for (let i = 0; i < CAPTURES_MAX; i++) assert.equal(start(), 'none');
      assert.equal(start(), 'captures-full');
      await captures.close();
      assert.equal(ended.length, round * CAPTURES_MAX);
    }
    assert.equal(captures.list().length, CAPTURES_ENDED_MAX);
  });

  it('are understood by tcpdump', { skip: hasTcpdump ? false : 'tcpdump is not installed' }, async () => {
    const { captures, tap0, tap1 } = fixture();
    captures.addInterface(2, 'tap1', tap1.point);
    for (const [name, extension] of [
      ['any', 'pcapng'],
      ['tap0', 'pcap'],
    ]) {
      const file = newFile(extension);
      started(captures, { interface: name, file, name });
      tap0.turn([SYN]);
      tap1.turn([ARP]);
      await stopped(captures, name);
      const { stdout, stderr, status } = spawnSync('tcpdump', ['-nr', '-'], {
        input: readFileSync(file),
        encoding: 'utf8',
      });
      assert.equal(status, 0, stderr);
      assert.match(stdout, /10\.0\.0\.1\.40000 > 10\.0\.0\.2\.80: Flags \[S\]/);
      assert.equal(stdout.includes('Request who-has'), name === 'any');
    }
  });

  it('are understood by tshark', { skip: hasTshark ? false : 'tshark is not installed' }, async () => {
    const { captures, tap0, tap1 } = fixture();
    const file = newFile();
    started(captures, { interface: 'any', file, bytesPerPacketMax: 60 });
    tap0.turn([SYN]);
    captures.addInterface(2, 'tap1', tap1.point);
    tap1.turn([], [ARP]);
    await stopped(captures, 'any');
    const fields = ['frame.interface_name', 'frame.packet_flags_direction', 'tcp.dstport', 'arp.opcode'];
    const result = spawnSync('tshark', ['-r', file, '-T', 'fields', ...fields.flatMap((field) => ['-e', field])], {
      encoding: 'utf8',
    });
    assert.equal(result.status, 0, result.stderr);
    assert.match(result.stdout, /^tap0\t\S+\t80\t\ntap1\t\S+\t\t1\n$/);
  });
});

describe('CaptureFile', () => {
  it('leaves out what a slow disk does not take, counts it, and stays readable', async () => {
    const path = newFile();
    const opened = createCaptureFile({
      path,
      application: 'test',
      comment: '',
      bytesPerPacketMax: undefined,
      queuedBytesMax: 150_000,
      now: () => 0,
      failed: assert.fail,
    });
    assert.ok(opened.ok);
    const file = opened.value;
    const packets = new Packets(1 << 20, 8);
    const packet = packets.allocate(60_000);
    const [first, second] = [
      { name: 'tap0', number: -1 },
      { name: 'tap1', number: -1 },
    ];
    file.describe(first);
    // No write can end within a turn, so what does not fit is lost.
    for (let i = 0; i < 6; i++) {
      file.write(i < 2 ? first : second, DIRECTION_INBOUND, packets, packet);
      file.turnEnded();
    }
    await file.close();
    assert.equal(file.packets + file.dropped, 6);
    assert.ok(file.dropped > 0);
    assert.equal(read(path).packets.length, file.packets);
    assert.equal(file.bytes, file.packets * 60_000);
  });

  it('says that the disk is full', async (t) => {
    const { captures, tap0, ended } = fixture();
    // A file that is new and can't grow: on a file system of one page.
    const mount = mkdtempSync(join(folder, 'small-'));
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4096', 'none', mount]).status !== 0) {
      return t.skip('no right to mount a file system');
    }
    try {
      started(captures, { interface: 'tap0', file: join(mount, 'full.pcapng') });
      for (let i = 0; i < 200; i++) tap0.turn([SYN]);
      await eventually('it has ended', () => ended.length === 1);
      assert.equal(ended[0].ended, "the file can't be written: ENOSPC");
    } finally {
      await captures.close();
      spawnSync('umount', [mount]);
    }
  });
});
