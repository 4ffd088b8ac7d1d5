/**
 * `tapster ctl` on a terminal: a prompt, history, completion with Tab, help with `?` in place. Ctrl-C ends what is under way, or clears the line; Ctrl-D on
 * an empty line ends the session.
 */
import { createInterface, type Interface } from 'node:readline';
import type { ReadStream, WriteStream } from 'node:tty';
import { complete, splitLast } from './complete.ts';
import { GRAMMAR } from './grammar.ts';
import { HISTORY_LINES_MAX, History } from './history.ts';
import { readLine } from './line.ts';
import type { Session } from './session.ts';

/** What readline does not tell in its types, and has had since the first version: what stands left of the cursor can be asked for, a key be kept from it. */
interface Keys {
  _ttyWrite?: (text: string | undefined, key: { readonly name?: string; readonly sequence?: string }) => void;
}

export function runShell(session: Session, input: ReadStream, output: WriteStream, prompt: string): Promise<void> {
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
  showHelpAt(lines, session);
  return new Promise((ended) => {
    let busy: Promise<void> = Promise.resolve();
    let running = false;
    lines.on('line', (text) => {
      typed.push(text);
      // Lines that are pasted come faster than they are done.
      busy = busy.then(async () => {
        running = true;
        const outcome = await session.run(readLine(text));
        running = false;
        if (outcome === 'quit') lines.close();
        else lines.prompt();
      });
    });
    lines.on('SIGINT', () => {
      if (running) session.interrupt();
      else clearLine(lines, output);
    });
    lines.on('close', () => {
      session.interrupt();
      history.append(typed);
      void busy.then(ended);
    });
    lines.prompt();
  });
}

/** The line stays as it is, and the help stands above it. Inside quotes, and behind `filter`, it is a character like others. */
function showHelpAt(lines: Interface, session: Session): void {
  const keys = lines as unknown as Keys;
  const write = keys._ttyWrite?.bind(lines);
  if (write === undefined) return;
  keys._ttyWrite = (text, key) => {
    const left = lines.line.slice(0, lines.cursor);
    if (text !== '?' || readLine(left).openQuote !== undefined) {
      write(text, key);
      return;
    }
    const { before, partial } = splitLast(left);
    // Below the line as it is, then the prompt with the line again.
    process.stdout.write('?\n');
    session.showNext(before, partial);
    lines.prompt(true);
  };
}

function clearLine(lines: Interface, output: WriteStream): void {
  output.write('^C\n');
  lines.write(null, { ctrl: true, name: 'e' });
  lines.write(null, { ctrl: true, name: 'u' });
  lines.prompt();
}
