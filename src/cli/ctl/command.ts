/** A command of `tapster ctl`: its grammar, what it asks of the engine, and how the answer reads. */
import type { Client } from '../../control/client.ts';
import type { TableLayout } from '../../engine/table-layout.ts';
import type { Entry, Pattern } from './parser.ts';
import { type Syntax, sequence } from './syntax.ts';

export interface Command extends Pattern {
  /** Whether the answer can be had as JSON. */
  readonly json: boolean;
  run(args: Arguments, context: Context): Promise<unknown>;
  /** The API's own answer. */
  toJson(result: unknown): unknown;
  /** For people; empty, or whole lines. */
  render(result: unknown, layout: TableLayout, args: Arguments): string;
}

/** What a command may use besides its arguments. */
export interface Context {
  readonly layout: TableLayout;
  readonly json: boolean;
  /** Given when the user interrupts. */
  readonly signal: AbortSignal;
  /** Of an engine that answers; throws an `ApiError` where there is none. */
  client(): Promise<Client>;
  print(text: string): void;
  /** A file of the user's: relative to where he is, not to where the engine is. */
  pathOf(file: string): string;
  execute(file: string): Promise<void>;
  help(words: string): void;
  quit(): void;
}

/** A mistake that is no matter of grammar: what is wrong, and a sentence that says what would be right. */
export class CommandError extends Error {
  readonly right: string | undefined;

  constructor(message: string, right?: string) {
    super(message);
    this.name = 'CommandError';
    this.right = right;
  }
}

/** What a line said, by name. A word of the grammar is there or not; a value has what its type made of it. */
export class Arguments {
  readonly entries: readonly Entry[];

  constructor(entries: readonly Entry[]) {
    this.entries = entries;
  }

  has(name: string): boolean {
    return this.entries.some((entry) => entry.name === name);
  }

  text(name: string): string {
    return String(this.#required(name));
  }

  number(name: string): number {
    return Number(this.#required(name));
  }

  maybeText(name: string): string | undefined {
    const found = this.#find(name);
    return found === undefined ? undefined : String(found);
  }

  maybeNumber(name: string): number | undefined {
    const found = this.#find(name);
    return found === undefined ? undefined : Number(found);
  }

  /** The first of `words` that stands there. */
  which<Name extends string>(...words: readonly Name[]): Name | undefined {
    return words.find((word) => this.has(word));
  }

  /** A value may be called as the word in front of it is: `mtu N`. */
  #find(name: string): Entry['value'] | undefined {
    return this.entries.find((entry) => entry.name === name && entry.value !== true)?.value;
  }

  #required(name: string): Entry['value'] {
    const found = this.#find(name);
    if (found === undefined) throw new Error(`the grammar lets "${name}" be left out`);
    return found;
  }
}

interface Definition<Result> {
  /** `show interface`. */
  readonly path: string;
  /** One line. */
  readonly help: string;
  /** What follows the path. */
  readonly syntax?: Syntax;
  run(client: Client, args: Arguments, context: Context): Promise<Result>;
  /** Left out: nothing is said when it is done. */
  render?(result: Result, layout: TableLayout, args: Arguments): string;
  /** Left out: as it is. */
  toJson?(result: Result): unknown;
}

/** A command that asks the engine. */
export function command<Result>({ path, help, syntax, run, render, toJson }: Definition<Result>): Command {
  return {
    path,
    help,
    syntax: syntax ?? sequence(),
    json: true,
    run: async (args, context) => run(await context.client(), args, context),
    toJson: (result) => (toJson === undefined ? result : toJson(result as Result)),
    render: (result, layout, args) => render?.(result as Result, layout, args) ?? '',
  };
}

/** A command that says itself what there is to say. */
export function sayingCommand(
  path: string,
  help: string,
  syntax: Syntax,
  run: (args: Arguments, context: Context) => Promise<void>,
): Command {
  return { path, help, syntax, json: false, run, toJson: () => undefined, render: () => '' };
}
