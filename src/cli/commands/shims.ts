/** `tapster shims DIR`: its options. What it writes: `dropin/shims.ts`. */
import { realpathSync } from 'node:fs';
import { Command } from 'commander';
import { harmless } from '../../engine/text.ts';
import { EXIT } from '../exit.ts';
import type { Output } from '../output.ts';

const DESCRIPTION =
  'Writes executables called pasta, passt and slirp4netns to a folder. Who finds that folder first in PATH has Tapster in their place.';

const NOTE = `
The same without executables:
  tapster pasta ...          as pasta: --help tells its options
  tapster passt ...          as passt
  tapster slirp4netns ...    as slirp4netns

The exit status is 0, or 1 when something else is there under one of the names.`;

export function makeShimsCommand(finish: (status: number) => void, output: Output): Command {
  return new Command('shims')
    .summary('put pasta, passt and slirp4netns into a folder')
    .description(DESCRIPTION)
    .argument('<folder>', 'the folder, made where it is not there')
    .helpOption('-h, --help', 'show this help')
    .addHelpText('after', NOTE)
    .action(async (folder: string) => {
      const { writeShims } = await import('../dropin/shims.ts');
      const script = realpathSync(process.argv[1] as string);
      const written = writeShims(folder, { node: process.execPath, script });
      if (written.ok) {
        output.out(written.value.map((path) => `${harmless(path)}\n`).join(''));
      } else {
        output.error(`tapster: ${harmless(written.failure.message)}\n`);
      }
      finish(written.ok ? EXIT.success : EXIT.refused);
    });
}
