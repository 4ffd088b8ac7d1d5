/** What `tapster apply` does: changes a running engine to what a file says, and tells each action. */
import { isatty } from 'node:tty';
import { formatProblems } from '../config/problem.ts';
import { ApiError } from '../control/api-error.ts';
import { type Client, connect } from '../control/client.ts';
import { layoutFor, paint, type TableLayout } from '../engine/table-layout.ts';
import { counted, harmless } from '../engine/text.ts';
import type { ActionView, ApplyView } from '../network/views.ts';
import { readConfiguration, STANDARD_INPUT } from './configuration-file.ts';
import { connectOptions, type EngineFlags } from './engine-flags.ts';
import { EXIT } from './exit.ts';
import type { Output } from './output.ts';

export interface ApplyFlags extends EngineFlags {
  readonly dryRun?: true;
  readonly json?: true;
}

export async function applyCommand(file: string, flags: ApplyFlags, output: Output): Promise<number> {
  const options = connectOptions(flags);
  const read = readConfiguration(file);
  if (!read.ok) {
    output.error(read.text);
    return EXIT.usage;
  }
  let client: Client | undefined;
  try {
    client = await connect(options);
    const view = await client.putConfiguration(read.text, { dryRun: flags.dryRun === true });
    const layout = layoutFor(isatty(1) ? process.stdout : { isTTY: false });
    output.out(flags.json ? `${JSON.stringify(view, undefined, 2)}\n` : applyText(view, layout));
    return EXIT.success;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    output.error(refusalText(error, file === STANDARD_INPUT ? 'standard input' : file));
    return EXIT.refused;
  } finally {
    await client?.close();
  }
}

/** Each action, and what became of them. */
export function applyText({ actions, dryRun, revision }: ApplyView, layout: TableLayout): string {
  if (actions.length === 0) return 'nothing to change: the engine is as the file says\n';
  const lines = actions.map((action) => `${paint(layout, COLOURS[action.action], harmless(action.text))}\n`);
  const count = counted(actions.length, 'action');
  const what = dryRun ? `${count} to do; nothing was changed` : `${count} done: revision ${revision}`;
  return `${lines.join('')}${what}\n`;
}

const COLOURS: Readonly<Record<ActionView['action'], 'green' | 'red' | 'yellow'>> = {
  add: 'green',
  remove: 'red',
  change: 'yellow',
};

/** An engine of another version may know more, or less, than we do. */
function refusalText({ message, problems }: ApiError, file: string): string {
  if (problems !== undefined && problems.length > 0) return `${formatProblems(problems, file)}\n`;
  return `tapster: ${message.split('\n').map(harmless).join('\n')}\n`;
}
