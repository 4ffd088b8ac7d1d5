/** `tapster completion bash|zsh|fish`: prints a script for the shell, made from the options themselves. */
import { Argument, Command } from 'commander';
import type { Output } from '../output.ts';

const DESCRIPTION = 'Prints a script that makes the shell complete commands and options.';

const INSTALL = `
How to use it:
  bash   in ~/.bashrc:  eval "$(tapster completion bash)"
  zsh    tapster completion zsh > DIR/_tapster   where DIR is one of $fpath
  fish   tapster completion fish > ~/.config/fish/completions/tapster.fish`;

export function makeCompletionCommand(output: Output): Command {
  return new Command('completion')
    .summary('print a completion script for a shell')
    .description(DESCRIPTION)
    .addArgument(new Argument('<shell>', 'the shell').choices(['bash', 'zsh', 'fish']))
    .helpOption('-h, --help', 'show this help')
    .addHelpText('after', INSTALL)
    .action(async (shell: string, _flags: object, command: Command) => {
      const { completionScript } = await import('../completion.ts');
      output.out(completionScript(shell, command.parent as Command));
    });
}
