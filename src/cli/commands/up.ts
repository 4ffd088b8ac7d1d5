/** `tapster up`: its options. What it does is in `up-command.ts`, which is loaded when it is asked for. */
import { Command, Option } from 'commander';
import { LOG_LEVELS } from '../engine-log.ts';
import { flag, one } from '../option.ts';
import { parseEngineName } from '../parse/engine-name.ts';
import { parseFilePath } from '../parse/file-path.ts';
import { parseListen } from '../parse/listen.ts';
import type { UpFlags } from '../up-command.ts';

const DESCRIPTION =
  'Starts an engine: makes the interfaces, bridges and routes of FILE (docs/config.md), or none, and runs until it is ' +
  'ended by Ctrl-C, SIGTERM or "tapster down". Everything is undone then; a second signal ends it at once.';

const NOTE = `
Examples:
  tapster up lab.yaml
  tapster up --detach lab.yaml && tapster ctl show interface
  tapster up --name other             an empty engine beside the first

The exit status is 0 when it was ended, 1 when it can't be made, or 2 when the
file is wrong: every mistake is told as FILE:LINE:COLUMN.`;

export function makeUpCommand(finish: (status: number) => void): Command {
  return new Command('up')
    .summary('start an engine with many interfaces')
    .description(DESCRIPTION)
    .argument('[file]', 'its configuration; "-": the standard input')
    .addOption(one('--name <NAME>', 'what it is called, so that several can run (main)', parseEngineName))
    .addOption(
      one('--socket <FILE>', 'where it listens (tapster/NAME.sock in /run or $XDG_RUNTIME_DIR)', parseFilePath),
    )
    .addOption(flag('-d, --detach', 'return when it is ready, and leave it running'))
    .addOption(one('--listen <ADDR:PORT>', 'listen at a loopback port too', parseListen))
    .addOption(one('--token-file <FILE>', 'with --listen: the file with the token that its users need', parseFilePath))
    .addOption(
      new Option('--log-level <LEVEL>', 'what is worth a line (the configuration decides)').choices([...LOG_LEVELS]),
    )
    .addOption(flag('--detached', 'started by --detach').hideHelp())
    .helpOption('-h, --help', 'show this help')
    .addHelpText('after', NOTE)
    .action(async (file: string | undefined, flags: UpFlags) => {
      const { upCommand } = await import('../up-command.ts');
      finish(await upCommand(file, flags));
    });
}
