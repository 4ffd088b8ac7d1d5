/** A `speaker` inside Tapster, told what to do line by line. */

import type { FlowLine, Lab } from '../support/netns/lab.ts';
import { type Ended, execute, type Program } from '../support/netns/process.ts';
import { checkoutPath, nodeOf } from '../support/netns/user.ts';

const SPEAKER = 'dist/test/faults/speaker.js';

export class Conversation {
  /** Tapster itself. */
  readonly program: Program;
  readonly #lab: Lab;
  readonly #flowsPath: string;
  #number = 0;

  private constructor(lab: Lab, program: Program, flowsPath: string) {
    this.#lab = lab;
    this.program = program;
    this.#flowsPath = flowsPath;
  }

  static async begin(lab: Lab, options: readonly string[] = []): Promise<Conversation> {
    const flowsPath = lab.newPath('flows');
    const speaker = [nodeOf(lab.user), checkoutPath(lab.user, SPEAKER)];
    const program = lab.start(['run', '--flows', flowsPath, ...options, '--', ...speaker], {
      keepInput: true,
      timeoutMs: 0,
    });
    await program.says(/^ready$/m);
    return new Conversation(lab, program, flowsPath);
  }

  /** Gives an instruction and waits for the answer. */
  async tell(instruction: string): Promise<string> {
    const number = ++this.#number;
    this.program.write(`${number} ${instruction}\n`);
    const [, answer = ''] = await this.program.says(new RegExp(`^${number} (.*)$`, 'm'));
    return answer;
  }

  /** Gives an instruction again and again, briefly each time, until the answer is the wanted one; fails with the last answer when it does not come. */
  async tellUntil(instruction: string, wanted: string, timeoutMs: number = 120_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const answer = await this.tell(`briefly ${instruction}`);
      if (answer === wanted) return;
      if (performance.now() > deadline) throw new Error(`${instruction}: ${answer}, not ${wanted}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** How the flows ended that have ended so far. */
  closedFlows(): FlowLine[] {
    return this.#lab.flows(this.#flowsPath).filter(({ event }) => event === 'close');
  }

  async end(): Promise<Ended> {
    this.program.endInput();
    return this.program.ended;
  }
}

export type Part = 'host' | 'net' | 'mid' | 'far';

export function namespaceOf(lab: Lab, part: Part): string {
  return lab.internet.host.replace(/-host$/, `-${part}`);
}

/** Runs a shell's command line in a namespace of the lab's internet; fails when it does. */
export async function inNamespace(lab: Lab, part: Part, line: string): Promise<void> {
  const words = [...lab.internet.in(namespaceOf(lab, part)), 'sh', '-ec', line];
  const { status, stderr } = await execute(words);
  if (status !== 0) throw new Error(`${line}: ${stderr}`);
}
