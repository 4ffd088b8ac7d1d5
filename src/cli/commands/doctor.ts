/** `tapster doctor`: what this machine allows. */
import { Command } from 'commander';
import { EXIT } from '../exit.ts';
import type { Output } from '../output.ts';

const DESCRIPTION =
  'Tries what "tapster run" needs and says what is there, what does not work without the rest, and the command that ' +
  'repairs it. Changes nothing.';

const NOTE = `
The exit status is 0 when "tapster run" would work, else 1.`;

export function makeDoctorCommand(finish: (status: number) => void, output: Output): Command {
  return new Command('doctor')
    .summary('say what this machine allows')
    .description(DESCRIPTION)
    .option('--json', 'print JSON')
    .helpOption('-h, --help', 'show this help')
    .addHelpText('after', NOTE)
    .action(async (flags: { json?: true }) => {
      const { probeMachine } = await import('../../engine/probe/probe.ts');
      const { doctorJson, doctorText, isFit } = await import('../doctor/report.ts');
      const { layoutFor } = await import('../../engine/table-layout.ts');
      const checks = await probeMachine();
      output.out(flags.json ? doctorJson(checks) : doctorText(checks, layoutFor(process.stdout).colours));
      finish(isFit(checks) ? EXIT.success : EXIT.unfit);
    });
}
