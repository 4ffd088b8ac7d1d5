/** A network namespace that somebody else has made, as container engines do: a process of the lab's user sits in it. */
import type { Lab } from '../support/netns/lab.ts';
import { type Ended, Program, type StartOptions } from '../support/netns/process.ts';

export class Container {
  readonly #process: Program;

  private constructor(process: Program) {
    this.#process = process;
  }

  /** An ordinary user makes a user namespace first, in which it is root. */
  static async start(lab: Lab): Promise<Container> {
    const user = lab.user === 'root' ? [] : ['--user', '--map-root-user'];
    const words = ['unshare', ...user, '--net', 'sh', '-c', 'echo up; exec sleep 600'];
    const process = new Program([...lab.asUserOnHost(), ...words], { timeoutMs: 0 });
    await process.says(/^up$/m);
    return new Container(process);
  }

  get pid(): number {
    return this.#process.pid;
  }

  get path(): string {
    return `/proc/${this.pid}/ns/net`;
  }

  /** Runs a program inside, as the machine's root. */
  run(words: readonly string[], options: StartOptions = {}): Promise<Ended> {
    return this.spawn(words, options).ended;
  }

  spawn(words: readonly string[], options: StartOptions = {}): Program {
    return new Program(['nsenter', `--net=${this.path}`, '--', ...words], options);
  }

  /** The process ends, and with it the namespace, as far as it is up to it. */
  async end(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#process.ended;
  }
}
