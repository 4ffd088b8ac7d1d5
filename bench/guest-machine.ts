/**
 * A virtual machine whose network devices are plugged into several networks at once, each in a network namespace of its own inside: so one and the same machine asks
 * each of them in turn. It is driven by a shell on its serial console.
 */
import { accessSync, constants } from 'node:fs';
import { GUEST_IMAGE } from './guest-image.ts';
import { type Version, versionOf } from './network.ts';
import { complaint, type Program, start, sweep } from './process.ts';

/** Emulated, beside whatever else runs here. */
const BOOT_MS = 240_000;
/** Where KVM works at all, it is much faster. A stock kernel hangs under that of some machines. */
const BOOT_KVM_MS = 10_000;
const LINE_MS = 120_000;
/** As long as any run of the suite takes. */
const LIFE_MS = 600_000;
const MEMORY = '256M';
const QEMU = 'qemu-system-x86_64';

export class GuestMachine {
  readonly #program: Program;
  #printed: string = '';
  #heard: () => void = () => {};
  #lines: number = 0;

  /** `devices`: for each device the options that QEMU needs. */
  static async boot(devices: readonly (readonly string[])[]): Promise<GuestMachine | { readonly failed: string }> {
    if (mayUseKvm()) {
      const machine = new GuestMachine('kvm', devices);
      if (await machine.#says(/@ready/, BOOT_KVM_MS)) return machine;
      await machine.end();
    }
    const machine = new GuestMachine('tcg', devices);
    if (await machine.#says(/@ready/, BOOT_MS)) return machine;
    return { failed: `the virtual machine does not boot: ${await machine.end()}` };
  }

  private constructor(accelerator: string, devices: readonly (readonly string[])[]) {
    this.#program = start(
      [
        ...[QEMU, '-machine', 'q35,memory-backend=memory', '-accel', accelerator, '-cpu', 'max'],
        // Its memory is shared, for those who are to find its queues there.
        ...['-m', MEMORY, '-object', `memory-backend-memfd,id=memory,share=on,size=${MEMORY}`],
        ...['-nodefaults', '-no-user-config', '-display', 'none', '-serial', 'stdio'],
        ...['-kernel', GUEST_IMAGE.kernel, '-initrd', GUEST_IMAGE.initramfs],
        ...['-append', 'console=ttyS0 quiet panic=-1', '-global', 'virtio-net-pci.romfile='],
        ...devices.flat(),
      ],
      LIFE_MS,
    );
    this.#program.child.stdout!.on('data', (text: string) => {
      this.#printed += text.replaceAll('\r', '');
      this.#heard();
    });
  }

  /** Runs a line of shell, and gives what it printed; undefined: it failed, or took too long. */
  async run(line: string): Promise<string | undefined> {
    const number = ++this.#lines;
    this.#printed = '';
    this.#program.child.stdin!.write(`echo "@begin ${number}"\n${line}\necho "@end ${number} $?"\n`);
    const whole = new RegExp(`@begin ${number}\n([^]*)@end ${number} (\\d+)\n`);
    await this.#says(whole, LINE_MS);
    const [, text, status] = whole.exec(this.#printed) ?? [];
    return status === '0' ? text!.replace(/^(?:[/~] # )+/gm, '') : undefined;
  }

  /** What it printed, for people. */
  async end(): Promise<string> {
    sweep(this.#program.child);
    return complaint(await this.#program.ended, LIFE_MS);
  }

  /** Whether something is printed in time. */
  async #says(pattern: RegExp, limitMs: number): Promise<boolean> {
    let isOver = false;
    const giveUp = (): void => {
      isOver = true;
      this.#heard();
    };
    const timer = setTimeout(giveUp, limitMs);
    void this.#program.ended.then(giveUp);
    while (!pattern.test(this.#printed) && !isOver) {
      await new Promise<void>((resolve) => {
        this.#heard = resolve;
      });
    }
    clearTimeout(timer);
    return pattern.test(this.#printed);
  }
}

export function machineVersion(): Version {
  return versionOf([QEMU, '--version'], 'qemu-system-x86');
}

function mayUseKvm(): boolean {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
