/** `tapster demo`, hidden from the help: what `npm start` shows. See `demo.ts`. */
import { Command } from 'commander';

export function makeDemoCommand(finish: (status: number) => void): Command {
  return new Command('demo')
    .description('Shows "tapster run" at work, without the internet.')
    .helpOption('-h, --help', 'show this help')
    .action(async () => {
      const { runDemo } = await import('../demo.ts');
      finish(await runDemo());
    });
}
