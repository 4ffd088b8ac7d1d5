/**
 * The program: its commands, help, and how mistakes are told. Making it loads option tables only; what a command does is imported when it is run,
 * so that `tapster --version` is quick.
 */

import { isatty } from 'node:tty';
import { Command, CommanderError, type OutputConfiguration } from 'commander';
import { packageVersion } from '../engine/package-version.ts';
import { harmless } from '../engine/text.ts';
import { makeApplyCommand } from './commands/apply.ts';
import { makeCompletionCommand } from './commands/completion.ts';
import { makeCtlCommand } from './commands/ctl.ts';
import { makeDemoCommand } from './commands/demo.ts';
import { makeDoctorCommand } from './commands/doctor.ts';
import { makeDownCommand } from './commands/down.ts';
import { makeGuestCommand } from './commands/guest.ts';
import { valueShapes } from './commands/network-options.ts';
import { makeRunCommand } from './commands/run.ts';
import { makeShimsCommand } from './commands/shims.ts';
import { makeUpCommand } from './commands/up.ts';
import { EXIT } from './exit.ts';
import type { Output } from './output.ts';
import { attachOptionalValues } from './parse/optional-value.ts';
import { UsageError } from './usage-error.ts';

/** Help is laid out for this width at most, whatever the terminal has. */
const HELP_COLUMNS_MAX = 80;

const DESCRIPTION =
  'Gives any program a network of its own, without privilege, and shows what it does there; or joins many ' +
  'networks, switched, routed, traced and controlled.';

const EXAMPLES = `
Examples:
  tapster run -- curl -s https://example.org/
  tapster run --summary -- npm install
  tapster up lab.yaml                 an engine with many interfaces
  tapster ctl show interface          what it does
  tapster doctor                      what this machine allows
  tapster run --help                  all that run can do
  tapster pasta --help                in place of pasta; see tapster shims`;

/** Runs the command line `args` (without `node` and the script) and returns the exit status. */
export async function main(args: readonly string[], output: Output = terminal()): Promise<number> {
  let status: number = EXIT.success;
  const program = makeProgram(output, (value) => {
    status = value;
  });
  try {
    await program.parseAsync(attachValues(program, args), { from: 'user' });
    return status;
  } catch (error) {
    return tellMistake(error, program, args, output);
  }
}

export function makeProgram(output: Output, finish: (status: number) => void): Command {
  const program = new Command('tapster')
    .description(DESCRIPTION)
    .version(`tapster ${packageVersion()}`, '-V, --version', 'show the version')
    .helpOption('-h, --help', 'show this help')
    .helpCommand('help [COMMAND]', 'show the help of a command')
    .enablePositionalOptions()
    .addHelpText('after', EXAMPLES)
    .addCommand(makeRunCommand(finish))
    .addCommand(makeGuestCommand(finish))
    .addCommand(makeUpCommand(finish))
    .addCommand(makeCtlCommand(finish, output))
    .addCommand(makeApplyCommand(finish, output))
    .addCommand(makeDownCommand(finish, output))
    .addCommand(makeDoctorCommand(finish, output))
    .addCommand(makeShimsCommand(finish, output))
    .addCommand(makeCompletionCommand(output))
    .addCommand(makeDemoCommand(finish), { hidden: true });
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput(commanderOutput(output)).showSuggestionAfterError();
    command.configureHelp({ helpWidth: Math.min(output.columns ?? HELP_COLUMNS_MAX, HELP_COLUMNS_MAX) });
  }
  return program;
}

/** Commands that stand in front of another command, with options whose value may be left out. */
const WITH_OPTIONAL_VALUES: readonly string[] = ['run', 'guest'];

function attachValues(program: Command, args: readonly string[]): string[] {
  const [first, ...others] = args;
  const command = WITH_OPTIONAL_VALUES.includes(first ?? '')
    ? program.commands.find((each) => each.name() === first)
    : undefined;
  return command === undefined ? [...args] : [first!, ...attachOptionalValues(others, valueShapes(command))];
}

/** Errors are told by `tellMistake` alone, help and version by commander. */
function commanderOutput(output: Output): OutputConfiguration {
  return { writeOut: (text) => output.out(text), writeErr: () => {}, outputError: () => {} };
}

function tellMistake(error: unknown, program: Command, args: readonly string[], output: Output): number {
  if (error instanceof UsageError) {
    const right = error.right === undefined ? '' : `${harmless(error.right)}\n`;
    output.error(`tapster: ${harmless(error.message)}\n${right}`);
    return EXIT.usage;
  }
  if (!(error instanceof CommanderError)) throw error;
  if (error.exitCode === 0) return EXIT.success;
  const command = program.commands.find((candidate) => candidate.name() === args[0]);
  const help = `Try "tapster ${command === undefined ? '' : `${command.name()} `}--help".`;
  // Commander shows the help when no command is given, as an error with a message that is not for people.
  const message = error.code === 'commander.help' ? 'a command is missing' : error.message;
  const [what = '', ...hints] = message.replace(/^error: /, '').split('\n');
  const hint = hints.join(' ').replace(/^\((.*)\)$/, '$1') || help;
  output.error(`tapster: ${harmless(what)}\n${harmless(hint)}\n`);
  return EXIT.usage;
}

function terminal(): Output {
  return {
    out: (text) => process.stdout.write(text),
    error: (text) => process.stderr.write(text),
    // Not asked of a pipe: Node would make it non-blocking, for a command too that shares it.
    columns: isatty(1) ? process.stdout.columns : undefined,
  };
}
