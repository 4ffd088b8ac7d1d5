/**
 * Virtual machines for tests: QEMU with Debian's kernel, a few megabytes of busybox, and a shell on the serial console that the tests give lines to.
 *
 * By KVM where a machine boots by it in time: a stock kernel hangs under that of some. Else emulated (TCG), where it boots in a few seconds.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, type Program } from '../support/netns/process.ts';
import { lacking } from '../support/netns/programs.ts';
import { CHECKOUT } from '../support/netns/user.ts';

const SKIPPED = 77;
/** Nothing here takes longer unless it hangs: emulated, on one processor, beside whatever else runs here. */
const BOOT_TIMEOUT_MS = 240_000;
const LINE_TIMEOUT_MS = 180_000;
const EMULATED: readonly string[] = ['-accel', 'tcg'];
/** A machine that boots by KVM is up, and down again, in less than a second. */
const KVM_TIMEOUT_MS = 5000;
/** For a kernel: to say nothing but why it panics, and nothing of having had no processor for long. */
const SILENT = 'quiet loglevel=1 nosoftlockup';
/** For a kernel: what it starts as the first program, with its words. */
const POWER_OFF = 'rdinit=/bin/busybox -- poweroff -f';

/**
 * A line that ends when a router was heard of, and the address of its network, which comes after the route, is of use. Without one there is a default route too: to
 * nowhere.
 */
export const ADVERTISED: string =
  'until ip -6 route | grep -q "^default via" && ip -6 addr show scope global | grep -q inet6 && ! ip -6 addr | grep -q tentative; do sleep 0.1; done';

export interface Image {
  readonly kernel: string;
  readonly initramfs: string;
  /** What QEMU runs it by. */
  readonly accelerators: readonly string[];
}

const folder = mkdtempSync(join(tmpdir(), 'tapster-vm-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

/** What machines boot, with programs of this one in them, or why there are none here. */
export function vmImage(...programs: string[]): Image | string {
  const missing = lacking('qemu-system-x86_64', ...programs);
  if (missing !== false) return missing;
  const initramfs = join(folder, 'initramfs');
  const words = [join(CHECKOUT, 'scripts', 'vm-image.mjs'), initramfs, ...programs];
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' });
  if (status === SKIPPED) return stderr.trim();
  assert.equal(status, 0, stderr);
  const image = { kernel: stdout.trim(), initramfs };
  return { ...image, accelerators: bootsByKvm(image) ? ['-accel', 'kvm', '-accel', 'tcg'] : EMULATED };
}

/** Has a machine boot by KVM and end at once. */
function bootsByKvm({ kernel, initramfs }: Omit<Image, 'accelerators'>): boolean {
  const [program, ...words] = qemuWords({ kernel, initramfs, accelerators: ['-accel', 'kvm'] }, POWER_OFF);
  const probe = spawnSync(program!, words, { stdio: 'ignore', timeout: KVM_TIMEOUT_MS, killSignal: 'SIGKILL' });
  return probe.status === 0;
}

/** The same for QEMU as any user, who may not look into the cache of who tests. */
export function readableImage({ kernel, ...others }: Image): Image {
  const readable = { kernel: join(folder, 'kernel'), ...others };
  copyFileSync(kernel, readable.kernel);
  chmodSync(folder, 0o755);
  return readable;
}

/** The words that boot an image, without a network device; `more` for its kernel. */
export function qemuWords({ kernel, initramfs, accelerators }: Image, more: string = ''): string[] {
  return [
    ...['qemu-system-x86_64', '-machine', 'q35', ...accelerators, '-cpu', 'max', '-m', '192M'],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-serial', 'stdio'],
    // What a kernel says of being slow would stand in the middle of what programs print.
    ...['-kernel', kernel, '-initrd', initramfs, '-append', `console=ttyS0 ${SILENT} panic=-1 ${more}`],
    // The device's firmware would try to boot from it.
    ...['-global', 'virtio-net-pci.romfile='],
  ];
}

/** For vhost-user: the machine's memory in a file, as much as `-m` gives it. */
export const SHARED_MEMORY: readonly string[] = [
  ...['-object', 'memory-backend-memfd,id=memory,share=on,size=192M'],
  ...['-machine', 'memory-backend=memory'],
];

/** QEMU 7.2 crashes under emulation where a vhost-user device has interrupts of its own. */
export function withoutVectors(words: readonly string[]): string[] {
  return words.map((word) => word.replace('virtio-net-pci,', 'virtio-net-pci,vectors=0,'));
}

/** A machine whose console is the input and output of a program: QEMU, or what has started it. */
export class Machine {
  readonly program: Program;
  #lines: number = 0;
  #boots: number = 0;
  #hasEnded: boolean = false;

  /** The program is to have been started with `keepInput` and without a time limit. */
  constructor(program: Program) {
    this.program = program;
    void program.ended.then(() => {
      this.#hasEnded = true;
    });
  }

  /** Waits until it has booted, once more with each call. */
  async booted(): Promise<void> {
    this.#boots++;
    const all = (): number => this.program.stdout.split('@ready').length - 1;
    await this.#sees('the machine has booted', () => all() >= this.#boots, BOOT_TIMEOUT_MS);
  }

  /** Runs a line of shell there, and gives what it printed. It must succeed. */
  async run(line: string, timeoutMs?: number): Promise<string> {
    const { status, text } = await this.attempt(line, timeoutMs);
    assert.equal(status, 0, `${line}: ${text}`);
    return text;
  }

  async attempt(
    line: string,
    timeoutMs: number = LINE_TIMEOUT_MS,
  ): Promise<{ readonly status: number; readonly text: string }> {
    const number = ++this.#lines;
    const from = this.program.stdout.length;
    this.program.write(`${line}\necho "@end ${number} $?"\n`);
    const end = new RegExp(`@end ${number} (\\d+)\r?\n`);
    const match = (): RegExpExecArray | null => end.exec(this.program.stdout.slice(from));
    await this.#sees(`the machine has run "${line}"`, () => match() !== null, timeoutMs);
    const { 1: status, index } = match()!;
    const text = this.program.stdout.slice(from, from + index).replaceAll('\r', '');
    return { status: Number(status), text: text.replace(/^(?:[/~] # )+/gm, '') };
  }

  /** Waits for what is seen on its console; says what is there instead. */
  async #sees(what: string, isThere: () => boolean, timeoutMs: number): Promise<void> {
    const isOver = (): boolean => isThere() || this.#hasEnded;
    const told = (why: string): Error => new Error(`${why}: ${this.program.stdout.slice(-2000)}${this.program.stderr}`);
    await eventually(what, isOver, timeoutMs).catch((error: Error) => {
      throw told(error.message);
    });
    if (!isThere()) throw told(`it has ended before ${what}`);
  }

  /** Starts a line of which nothing is waited for. */
  begin(line: string): void {
    this.program.write(`${line}\n`);
  }

  async powerOff(): Promise<void> {
    this.begin('poweroff -f');
    await this.program.ended;
  }
}
