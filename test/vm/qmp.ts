/** QEMU's machine protocol: tells a machine that runs what to do, and hears of what becomes of it. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { eventually } from '../support/netns/process.ts';

/** A migration has this to tell, at each end. */
const MIGRATION_TIMEOUT_MS = 180_000;
/** Until QEMU listens, and how often that is tried. */
const LISTEN_TIMEOUT_MS = 60_000;
const LISTEN_RETRY_MS = 10;
/** Bytes in a second. */
const UNBOUNDED = 10_000_000_000;

interface Message {
  readonly return?: Record<string, unknown>;
  readonly error?: { readonly desc: string };
  readonly event?: string;
  readonly data?: { readonly status?: string };
}

/** The words that have QEMU listen at a path. */
export function qmpWords(path: string): string[] {
  return ['-qmp', `unix:${path},server=on,wait=off`];
}

export class Qmp {
  readonly #socket: Socket;
  #answered: (message: Message) => void = () => {};
  #migration: string = 'none';

  private constructor(socket: Socket) {
    this.#socket = socket;
    const lines = createInterface(socket);
    // QEMU may end while it still is to answer.
    for (const each of [socket, lines]) each.on('error', () => {});
    lines.on('line', (line) => {
      const message = JSON.parse(line) as Message;
      if (message.event === 'MIGRATION') this.#migration = message.data!.status!;
      if (message.return !== undefined || message.error !== undefined) this.#answered(message);
    });
  }

  /** Goes to who listens at a path, or will. */
  static async connect(path: string): Promise<Qmp> {
    const qmp = new Qmp(await reach(path));
    await qmp.execute('qmp_capabilities');
    await qmp.execute('migrate-set-capabilities', { capabilities: [{ capability: 'events', state: true }] });
    return qmp;
  }

  async execute(command: string, options: object = {}): Promise<Record<string, unknown>> {
    const answer = await new Promise<Message>((resolve) => {
      this.#answered = resolve;
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: options })}\n`);
    });
    if (answer.error !== undefined) throw new Error(`${command}: ${answer.error.desc}`);
    return answer.return!;
  }

  /** Has the machine go on in another QEMU, which was started with `-incoming defer`: while it runs, if it does. What this one has ends. */
  async migrateTo(other: Qmp, uri: string): Promise<void> {
    await other.execute('migrate-incoming', { uri });
    await this.execute('migrate-set-parameters', { 'max-bandwidth': UNBOUNDED });
    await this.execute('migrate', { uri });
    await Promise.all([this.migrated(), other.migrated()]);
    await this.quit();
  }

  /** Resolves when a migration has ended well. */
  async migrated(): Promise<void> {
    const isOver = (): boolean => this.#migration === 'completed' || this.#migration === 'failed';
    await eventually('the migration is over', isOver, MIGRATION_TIMEOUT_MS);
    if (this.#migration === 'failed')
      throw new Error(`no migration: ${JSON.stringify(await this.execute('query-migrate'))}`);
  }

  /** Ends QEMU. */
  async quit(): Promise<void> {
    // Not `once` of events, for which it is a failure that QEMU has not read all.
    const closed = new Promise<void>((resolve) => this.#socket.once('close', () => resolve()));
    this.#socket.write('{"execute":"quit"}\n');
    await closed;
  }
}

/** A path is there a moment before anybody listens at it. */
async function reach(path: string): Promise<Socket> {
  const deadline = performance.now() + LISTEN_TIMEOUT_MS;
  for (;;) {
    const socket = connect(path);
    try {
      await once(socket, 'connect');
      return socket;
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, LISTEN_RETRY_MS));
  }
}
