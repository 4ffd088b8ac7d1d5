/** `tapster apply`: its options. What it does is in `apply-command.ts`, which is loaded when it is asked for. */
import { Command } from 'commander';
import type { ApplyFlags } from '../apply-command.ts';
import { nameOption, socketOption, urlOptions } from '../engine-flags.ts';
import type { Output } from '../output.ts';

const DESCRIPTION =
  'Changes a running engine to what FILE says: all of it, or nothing. What did not change keeps its flows and counters. ' +
  'Prints what is added (+), removed (-) and changed (~).';

const NOTE = `
Examples:
  tapster apply lab.yaml
  tapster apply --dry-run lab.yaml

The exit status is 0, 1 when the engine refused or is not there, or 2 when the
file is wrong: every mistake is told as FILE:LINE:COLUMN.`;

export function makeApplyCommand(finish: (status: number) => void, output: Output): Command {
  const command = new Command('apply')
    .summary('change a running engine to what a file says')
    .description(DESCRIPTION)
    .argument('<file>', 'the configuration; "-": the standard input')
    .option('-n, --dry-run', 'only say what would be done')
    .option('--json', 'print JSON')
    .addOption(nameOption())
    .addOption(socketOption());
  for (const option of urlOptions()) command.addOption(option);
  return command
    .helpOption('-h, --help', 'show this help')
    .addHelpText('after', NOTE)
    .action(async (file: string, flags: ApplyFlags) => {
      const { applyCommand } = await import('../apply-command.ts');
      finish(await applyCommand(file, flags, output));
    });
}
