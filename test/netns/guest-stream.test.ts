/**
 * The stream socket of `tapster guest` when either side breaks off in the middle of a frame: with a client of ours, which connects again as QEMU does from 8.0 on
 * (`-netdev stream,reconnect=`), at once and from the beginning of a frame.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { PLACES, whyNoInternet } from '../support/netns/internet.ts';
import { Lab } from '../support/netns/lab.ts';
import { eventually, type Program } from '../support/netns/process.ts';

const LENGTH_BYTES = 4;
/** Of ARP, as Ethernet carries it. */
const FRAME_BYTES = 42;
const REPLY = 2;
/** More than both buffers of the socket and Tapster's queue hold of their answers. */
const MANY = 40_000;

/** Asks for the gateway's MAC address, as a guest. */
function question(): Buffer {
  const packed = (address: string): Buffer => Buffer.from(address.split('.').map(Number));
  const mac = Buffer.from('525400000001', 'hex');
  const frame = Buffer.concat([
    ...[Buffer.from('ffffffffffff', 'hex'), mac, Buffer.from('0806000108000604', 'hex'), Buffer.from('0001', 'hex')],
    ...[mac, packed(PLACES.host[4]), Buffer.alloc(6), packed(PLACES.gateway[4])],
  ]);
  assert.equal(frame.length, FRAME_BYTES);
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(frame.length);
  return Buffer.concat([length, frame]);
}

/** A guest's side of the socket: what it has received is kept until somebody asks. */
class Client {
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);

  private constructor(socket: Socket) {
    this.#socket = socket;
    // That the other side is killed is what is tried here.
    socket.on('error', () => {});
  }

  /** Tries until somebody listens. */
  static async connect(path: string): Promise<Client> {
    for (;;) {
      const socket = connect(path);
      const came = await once(socket, 'connect').catch(() => undefined);
      if (came !== undefined) return new Client(socket);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  send(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  get waits(): boolean {
    return this.#socket.writableLength > 0;
  }

  /** Reads until so many answers to questions have come; other frames may be among them, and each must be whole. */
  async answers(count: number): Promise<void> {
    for (let answers = 0; answers < count; ) {
      const length = this.#received.length >= LENGTH_BYTES ? this.#received.readUInt32BE() : 0;
      if (this.#received.length < LENGTH_BYTES + length || length === 0) {
        const [chunk] = (await once(this.#socket, 'data')) as [Buffer];
        this.#received = Buffer.concat([this.#received, chunk]);
        continue;
      }
      assert.ok(length >= 14 && length <= 65_535, `a frame of ${length} bytes`);
      const frame = this.#received.subarray(LENGTH_BYTES, LENGTH_BYTES + length);
      this.#received = this.#received.subarray(LENGTH_BYTES + length);
      if (frame.readUInt16BE(12) !== 0x0806) continue;
      assert.equal(frame.readUInt16BE(20), REPLY);
      answers++;
    }
  }

  async close(): Promise<void> {
    this.#socket.destroy();
    await once(this.#socket, 'close');
  }
}

const why = whyNoInternet();

describe('the stream of a guest', { skip: why ?? false }, () => {
  const lab = new Lab('user', {});
  let path: string;
  let tapster: Program;
  const serve = async (): Promise<void> => {
    tapster = lab.start(['guest', '--socket', path, '-v'], { timeoutMs: 0 });
    await tapster.says(/ (-netdev stream,.*)$/m);
  };
  before(async () => {
    await lab.up();
    path = lab.newPath('vm.sock');
    await serve();
  });
  after(() => lab.down());

  it('goes on with the next connection when it broke in the middle of a frame of the guest', async () => {
    for (let bytes = 1; bytes < LENGTH_BYTES + FRAME_BYTES; bytes += 9) {
      const client = await Client.connect(path);
      client.send(question());
      await client.answers(1);
      client.send(question().subarray(0, bytes));
      await client.close();
    }
    assert.doesNotMatch(tapster.stderr, /sent away/);
  });

  it('begins with a whole frame when it broke in the middle of one for the guest', async () => {
    const slow = await Client.connect(path);
    slow.send(Buffer.concat(Array.from({ length: MANY }, question)));
    await eventually('Tapster has read all, and what it answers waits', () => !slow.waits);
    await slow.close();
    const next = await Client.connect(path);
    next.send(question());
    await next.answers(1);
    await next.close();
  });

  it('goes on when Tapster is killed and started again, in the middle of a frame of either side', async () => {
    const before = await Client.connect(path);
    before.send(Buffer.concat([...Array.from({ length: MANY }, question), question().subarray(0, 30)]));
    await eventually('Tapster has read all, and what it answers waits', () => !before.waits);
    tapster.kill('SIGKILL');
    await tapster.ended;
    const again = Client.connect(path);
    await eventually('the path of one that was killed goes', () => !existsSync(path));
    await serve();
    const client = await again;
    client.send(Buffer.concat([question(), question()]));
    await client.answers(2);
    await Promise.all([before.close(), client.close()]);
  });
});
