/** `tapster down`: its options. What it does is in `down-command.ts`, which is loaded when it is asked for. */
import { Command } from 'commander';
import { type EngineFlags, nameOption, socketOption, urlOptions } from '../engine-flags.ts';
import type { Output } from '../output.ts';

const DESCRIPTION = 'Ends a running engine, and returns when everything that it made is undone.';

const NOTE = `
The exit status is 0, or 1 when there is no engine or it does not end.`;

export function makeDownCommand(finish: (status: number) => void, output: Output): Command {
  const command = new Command('down')
    .summary('end a running engine')
    .description(DESCRIPTION)
    .addOption(nameOption())
    .addOption(socketOption());
  for (const option of urlOptions()) command.addOption(option);
  return command
    .helpOption('-h, --help', 'show this help')
    .addHelpText('after', NOTE)
    .action(async (flags: EngineFlags) => {
      const { downCommand } = await import('../down-command.ts');
      finish(await downCommand(flags, output));
    });
}
