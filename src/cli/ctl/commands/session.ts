/** Commands that are about the session itself: files of commands, events as they happen, help, the end. */
import type { Client } from '../../../control/client.ts';
import type { EventView } from '../../../network/views.ts';
import { type Command, type Context, sayingCommand } from '../command.ts';
import { eventLine } from '../render/events.ts';
import { optional, sequence, value } from '../syntax.ts';
import { FILE, FILTER } from '../value-types.ts';

export const SESSION_COMMANDS: readonly Command[] = [
  sayingCommand(
    'exec',
    'do the commands of a file, until one fails',
    value('file', 'FILE', FILE, 'a line each; # begins a comment'),
    (args, context) => context.execute(args.text('file')),
  ),
  {
    ...sayingCommand('events', 'show what happens, until interrupted', sequence(), async (_args, context) => {
      await follow(await context.client(), context);
    }),
    json: true,
  },
  sayingCommand(
    'help',
    'list the commands that begin so',
    optional(value('words', 'WORDS', { ...FILTER, what: 'words' }, 'of a command')),
    async (args, context) => context.help(args.maybeText('words') ?? ''),
  ),
  sayingCommand('quit', 'end the session', sequence(), async (_args, context) => context.quit()),
  sayingCommand('exit', 'end the session', sequence(), async (_args, context) => context.quit()),
];

async function follow(client: Client, { signal, json, layout, print }: Context): Promise<void> {
  const onLost = (count: number): void => {
    if (!json) print(`${count} events were left out here\n`);
  };
  const show = (event: EventView): string => (json ? `${JSON.stringify(event)}\n` : eventLine(event, layout));
  for await (const event of client.events({ signal, onLost })) print(show(event));
}
