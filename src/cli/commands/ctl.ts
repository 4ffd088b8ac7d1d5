/** `tapster ctl`: its options. What it does is in `ctl-command.ts`, its own commands in `ctl/`; both are loaded when they are asked for. */
import { Command } from 'commander';
import type { CtlFlags } from '../ctl-command.ts';
import { nameOption, socketOption, urlOptions } from '../engine-flags.ts';
import type { Output } from '../output.ts';

const DESCRIPTION =
  'Looks into a running engine and changes it. With words: does that command. Without: on a terminal, a session with ' +
  'history, completion (Tab) and help (?); otherwise the lines of the standard input, until one fails.';

const NOTE = `
Examples:
  tapster ctl show interface
  tapster ctl show tap --json
  tapster ctl create tap host-ns red host-if-name eth0 host-ip4-addr 10.0.0.2/24
  tapster ctl trace add ip4-lookup 10
  tapster ctl help                    all commands

The exit status is 0, 1 when the engine refused or is not there, 2 when the
command is wrong, or 130 when it was interrupted.`;

export function makeCtlCommand(finish: (status: number) => void, output: Output): Command {
  const command = new Command('ctl')
    .summary('look into a running engine, and change it')
    .description(DESCRIPTION)
    .usage('[options] [COMMAND [WORD...]]')
    .argument('[words...]', 'the command')
    .passThroughOptions()
    .addOption(nameOption())
    .addOption(socketOption());
  for (const option of urlOptions()) command.addOption(option);
  return command
    .option('--json', "answer with the API's JSON; stands anywhere")
    .helpOption('-h, --help', 'show this help')
    .addHelpText('after', NOTE)
    .action(async (words: string[], flags: CtlFlags) => {
      const { ctlCommand } = await import('../ctl-command.ts');
      finish(await ctlCommand(words, flags, output));
    });
}
