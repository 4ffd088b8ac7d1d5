/**
 * A session of `tapster ctl`: lines in, answers out. One command at a time. Where the engine does not answer the line fails and says so; the next one asks
 * again, so that a session outlives its engine.
 */
import { resolve } from 'node:path';
import { formatProblems } from '../../config/problem.ts';
import { ApiError } from '../../control/api-error.ts';
import type { Client } from '../../control/client.ts';
import type { TableLayout } from '../../engine/table-layout.ts';
import { harmless } from '../../engine/text.ts';
import { readText } from '../read-text.ts';
import { Arguments, type Command, CommandError, type Context } from './command.ts';
import { GRAMMAR, usageOf } from './grammar.ts';
import { type Line, readLine } from './line.ts';
import type { LineError } from './parser.ts';
import { facts } from './render/table.ts';
import { terms } from './syntax.ts';

export interface SessionOptions {
  /** Finds the engine; called anew where the one that was found does not answer any more. */
  connect(): Promise<Client>;
  out(text: string): void;
  error(text: string): void;
  readonly layout: TableLayout;
}

/** How a line went. `usage`: it is wrong as it stands there; `failed`: the engine said no. */
export type Outcome = 'done' | 'usage' | 'failed' | 'interrupted' | 'quit';

/** Files that run files that run files. */
const DEPTH_MAX = 8;

export class Session {
  readonly #options: SessionOptions;
  #client: Client | undefined;
  #interrupt: AbortController = new AbortController();
  /** The files that are being run, the innermost last. */
  readonly #files: string[] = [];

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /** Finds the engine, if it is not found yet; throws where there is none. */
  async client(): Promise<Client> {
    this.#client ??= await this.#options.connect();
    return this.#client;
  }

  /** Does one line; says what is wrong with it, behind `place` (as `file:7`). */
  async run(line: Line, place?: string): Promise<Outcome> {
    if (line.words.length === 0 && line.openQuote === undefined) return 'done';
    const parsed = GRAMMAR.parse(line);
    if (!parsed.ok) return this.#tellLineError(parsed.error, place);
    const { pattern } = parsed;
    if (line.json && !pattern.json) {
      return this.#tellLineError(
        { message: `"${pattern.path}" has no JSON`, column: 1, right: 'Leave --json out.' },
        place,
      );
    }
    this.#interrupt = new AbortController();
    const { signal } = this.#interrupt;
    try {
      return await this.#execute(pattern, new Arguments(parsed.entries), line.json, signal);
    } catch (error) {
      // Nothing but that ends it.
      if (signal.aborted) return pattern.path === 'events' ? 'done' : 'interrupted';
      if (error instanceof QuitError) return 'quit';
      return this.#tellFailure(error, place);
    }
  }

  /** All lines of `text`, until one fails. */
  async runText(text: string, name: string): Promise<Outcome> {
    const lines = text.split('\n');
    for (let i = 0; i < lines.length; i++) {
      const outcome = await this.run(readLine(lines[i]!), `${name}:${i + 1}`);
      if (outcome !== 'done') return outcome;
    }
    return 'done';
  }

  /** Ends what is under way. */
  interrupt(): void {
    this.#interrupt.abort();
  }

  async close(): Promise<void> {
    await this.#client?.close();
  }

  /** What `?` shows behind `text`. */
  showNext(text: Line, partial: string): void {
    const next = GRAMMAR.next(text, partial);
    if (!Array.isArray(next)) {
      this.#tellLineError(next as LineError, undefined);
      return;
    }
    const rows = next.map(({ label, help }) => [label, help || ' '] as const);
    this.#options.out(rows.length === 0 ? '  nothing begins so\n' : facts(rows));
  }

  async #execute(command: Command, args: Arguments, json: boolean, signal: AbortSignal): Promise<Outcome> {
    const { layout, out } = this.#options;
    const context: Context = {
      layout,
      json,
      signal,
      client: () => this.client(),
      print: out,
      pathOf: (file) => resolve(file),
      execute: (file) => this.#runFile(file),
      help: (words) => this.#help(words),
      quit: () => {
        throw new QuitError();
      },
    };
    const result = await interruptible(command.run(args, context), signal);
    if (json && command.path !== 'events') out(`${JSON.stringify(command.toJson(result), undefined, 2)}\n`);
    else if (!json) out(command.render(result, layout, args));
    return 'done';
  }

  async #runFile(file: string): Promise<void> {
    if (this.#files.length >= DEPTH_MAX) {
      throw new CommandError(`${file}: files are ${DEPTH_MAX} deep in each other`, 'Does one of them run itself?');
    }
    const text = readText(file);
    if (!text.ok) throw new CommandError(text.failure.message);
    this.#files.push(file);
    try {
      const outcome = await this.runText(text.value, file);
      if (outcome === 'quit') throw new QuitError();
      if (outcome !== 'done') throw new ToldError(outcome);
    } finally {
      this.#files.pop();
    }
  }

  #help(words: string): void {
    const begun = words.trim().toLowerCase();
    const found = GRAMMAR.patterns.filter(({ path }) => path.startsWith(begun));
    if (found.length === 0) throw new CommandError(`no command begins with "${words}"`, 'See help.');
    const exact = found.length === 1 ? found[0] : found.find(({ path }) => path === begun);
    const others = found.filter((each) => each !== exact);
    if (exact !== undefined) this.#options.out(`${detailed(exact)}${others.length === 0 ? '' : '\n'}`);
    this.#options.out(
      facts(
        others.map(({ path, help }) => [path, help]),
        '',
      ),
    );
  }

  #tellLineError({ message, column, right }: LineError, place: string | undefined): Outcome {
    const where = place === undefined ? `column ${column}` : `${place}:${column}`;
    this.#say(`${where}: ${message}\n${right}`);
    return 'usage';
  }

  #tellFailure(error: unknown, place: string | undefined): Outcome {
    if (error instanceof ToldError) return error.outcome;
    const where = place === undefined ? '' : `${place}: `;
    if (error instanceof CommandError) {
      this.#say(`${where}${error.message}${error.right === undefined ? '' : `\n${error.right}`}`);
      return 'failed';
    }
    if (!(error instanceof ApiError)) throw error;
    // The one that was there is gone, or has never been: the next command looks for one again.
    if (error.status === 0) this.#client = undefined;
    // What would be wrong of the configuration without it, the sentence says already.
    const problems = error.code === 'still-needed' ? [] : (error.problems ?? []);
    const more = problems.length > 1 ? `\n${formatProblems(problems, 'the configuration')}` : '';
    this.#say(
      `${where}${problems.length === 1 ? formatProblems(problems, 'the configuration') : error.message}${more}`,
    );
    return 'failed';
  }

  #say(text: string): void {
    this.#options.error(`tapster: ${text.split('\n').map(harmless).join('\n')}\n`);
  }
}

/** Was asked for by a command, from within a file too. */
class QuitError extends Error {}

/** Of a line in a file, which has been told. */
class ToldError extends Error {
  readonly outcome: Outcome;

  constructor(outcome: Outcome) {
    super('told already');
    this.outcome = outcome;
  }
}

/** The words of a command, and what each is for. */
function detailed(command: Command): string {
  const rows = terms(command.syntax).map(({ label, help }) => [label, help] as const);
  return `${usageOf(command)}\n  ${command.help}\n${rows.length === 0 ? '' : `\n${facts(rows)}`}`;
}

/** The answer, unless the signal comes first: whoever waits has no more use for it. */
function interruptible<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((done, fail) => {
    signal.addEventListener('abort', () => fail(new CommandError('interrupted')), { once: true });
    answer.then(done, fail);
  });
}
