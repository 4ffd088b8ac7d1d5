/**
 * `tapster ctl` on a terminal: a prompt, history, completion with Tab, help with `?` in place. Ctrl-C ends what is under way, or clears the line; Ctrl-D on
 * an empty line ends the session.
 */
import { createInterface, type Interface } from 'node:readline';
import { complete, splitLast } from './complete.ts';
import { GRAMMAR } from './grammar.ts';
import { HISTORY_LINES_MAX, History } from './history.ts';
import { readLine } from './line.ts';
import type { Session } from './session.ts';

const HELP_KEY = '?';

export function runShell(
  session: Session,
  input: NodeJS.ReadableStream,
  output: NodeJS.WritableStream,
  prompt: string,
): Promise<void> {
  const history = new History();
  const typed: string[] = [];
  const lines = createInterface({
    input,
    output,
    prompt,
    terminal: true,
    history: history.read().reverse(),
    historySize: HISTORY_LINES_MAX,
    removeHistoryDuplicates: true,
    completer: (text: string, done: (error: Error | null, result: [string[], string]) => void) => {
      complete(GRAMMAR, text, () => session.client()).then(
        (result) => done(null, result),
        () => done(null, [[], '']),
      );
    },
  });
  input.on('keypress', (key: string | undefined) => {
    if (key === HELP_KEY) helpInPlace(lines, session, output);
  });
  return new Promise((ended) => {
    let busy: Promise<void> = Promise.resolve();
    let running = false;
    let closed = false;
    let quit = false;
    lines.on('line', (text) => {
      typed.push(text);
      // Lines that are pasted come faster than they are done.
      busy = busy.then(async () => {
        running = true;
        const outcome = await session.run(readLine(text));
        running = false;
        if (outcome === 'quit') {
          quit = true;
          lines.close();
        } else if (!closed) lines.prompt();
      });
    });
    lines.on('SIGINT', () => {
      if (running) session.interrupt();
      else clearLine(lines, output);
    });
    lines.on('close', () => {
      closed = true;
      // What comes next does not belong behind the prompt.
      if (!quit) output.write('\n');
      session.interrupt();
      history.append(typed);
      void busy.then(ended);
    });
    lines.prompt();
  });
}

/**
 * Help for what stands left of the cursor, below the line; then the line again, without the key. Where text is quoted it is a character like others.
 */
function helpInPlace(lines: Interface, session: Session, output: NodeJS.WritableStream): void {
  const left = lines.line.slice(0, lines.cursor);
  if (!left.endsWith(HELP_KEY) || readLine(left).openQuote !== undefined) return;
  output.write('\n');
  const { before, partial } = splitLast(left.slice(0, -1));
  session.showNext(before, partial);
  lines.prompt(true);
  lines.write(null, { name: 'backspace' });
}

function clearLine(lines: Interface, output: NodeJS.WritableStream): void {
  output.write('^C\n');
  lines.write(null, { ctrl: true, name: 'e' });
  lines.write(null, { ctrl: true, name: 'u' });
  lines.prompt();
}
