/**
 * Command lines as getopt_long(3) of the GNU C library reads them, which is what callers of the programs that we stand in for rely on:
 *
 * | written                    | read as                                                              |
 * | -------------------------- | -------------------------------------------------------------------- |
 * | `--mtu 9000`, `--mtu=9000` | the same; the next word is the value, even if it begins with a dash   |
 * | `-m 9000`, `-m9000`        | the same                                                             |
 * | `-fq4`, `-fm9000`          | letters in one word; the rest behind one with a value is the value    |
 * | `--no-m`                   | an abbreviation, if it fits one option only; a whole name goes first  |
 * | `--`                       | ends the options                                                     |
 * | `-`                        | an operand                                                           |
 *
 * Operands end the options (`command`, as a `+` in front of getopt's letters does) or may stand between them (`anywhere`). What is wrong is told when it is
 * reached: `--version --bogus` is a question for the version. The words of the messages are the library's: podman looks for `unrecognized option '--NAME'` in
 * them to see what a version can't do.
 */

export interface OptionShape {
  readonly long: string;
  /** One letter or digit. */
  readonly short?: string;
  /** What stands for the value in the help; none when there is no value. */
  readonly value?: string;
}

export type OptionWord<S extends OptionShape> =
  | { readonly kind: 'option'; readonly shape: S; readonly value: string }
  | { readonly kind: 'operand'; readonly text: string }
  | { readonly kind: 'mistake'; readonly message: string };

/** The words one by one; nothing follows a mistake. `shapes` of one name mean one thing. */
export function* readWords<S extends OptionShape>(
  args: readonly string[],
  shapes: readonly S[],
  operands: 'command' | 'anywhere',
): Generator<OptionWord<S>> {
  let i = 0;
  while (i < args.length) {
    const word = args[i++] as string;
    if (word === '--') break;
    if (word === '-' || !word.startsWith('-')) {
      yield { kind: 'operand', text: word };
      if (operands === 'command') break;
      continue;
    }
    for (const read of word.startsWith('--') ? [readLong(word, args[i], shapes)] : readShort(word, args[i], shapes)) {
      if (read.kind === 'mistake') {
        yield read;
        return;
      }
      if (read.tookNext) i++;
      yield { kind: 'option', shape: read.shape, value: read.value };
    }
  }
  for (const text of args.slice(i)) yield { kind: 'operand', text };
}

type Read<S> =
  | { readonly kind: 'option'; readonly shape: S; readonly value: string; readonly tookNext: boolean }
  | { readonly kind: 'mistake'; readonly message: string };

function readLong<S extends OptionShape>(word: string, next: string | undefined, shapes: readonly S[]): Read<S> {
  const equals = word.indexOf('=');
  const name = word.slice(2, equals < 0 ? undefined : equals);
  const attached = equals < 0 ? undefined : word.slice(equals + 1);
  const whole = shapes.find(({ long }) => long === name);
  const fitting = whole === undefined ? shapes.filter(({ long }) => long.startsWith(name)) : [whole];
  const shape = fitting[0];
  if (shape === undefined) return mistake(`unrecognized option '--${name}'`);
  if (fitting.length > 1) {
    const names = fitting.map(({ long }) => `'--${long}'`).join(' ');
    return mistake(`option '--${name}' is ambiguous; possibilities: ${names}`);
  }
  if (shape.value === undefined) {
    if (attached !== undefined) return mistake(`option '--${shape.long}' doesn't allow an argument`);
    return { kind: 'option', shape, value: '', tookNext: false };
  }
  const value = attached ?? next;
  if (value === undefined) return mistake(`option '--${shape.long}' requires an argument`);
  return { kind: 'option', shape, value, tookNext: attached === undefined };
}

function* readShort<S extends OptionShape>(
  word: string,
  next: string | undefined,
  shapes: readonly S[],
): Generator<Read<S>> {
  for (let i = 1; i < word.length; i++) {
    const letter = word[i] as string;
    const shape = shapes.find(({ short }) => short === letter);
    if (shape === undefined) {
      yield mistake(`invalid option -- '${letter}'`);
      return;
    }
    if (shape.value === undefined) {
      yield { kind: 'option', shape, value: '', tookNext: false };
      continue;
    }
    const attached = word.slice(i + 1);
    const value = attached === '' ? next : attached;
    if (value === undefined) yield mistake(`option requires an argument -- '${letter}'`);
    else yield { kind: 'option', shape, value, tookNext: attached === '' };
    return;
  }
}

function mistake(message: string): { readonly kind: 'mistake'; readonly message: string } {
  return { kind: 'mistake', message };
}
