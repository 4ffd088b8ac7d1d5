/**
 * Options whose value may be left out, in front of a command.
 *
 * In `--host-loopback curl http://...` the word behind the option is the command, in `--host-loopback 10.0.0.1 curl ...` it is the option's value. The
 * command-line library takes any word for the value. So before it reads the arguments, each option with an optional value gets its value attached
 * with `=`: the next word when the option accepts it, else what the option means without one.
 */

/** How an option takes its value. */
export type ValueShape =
  | { readonly kind: 'none' | 'required' }
  | { readonly kind: 'optional'; readonly without: string; accepts(text: string): boolean };

/** The arguments with optional values attached. Reading stops at `--` and at the first word that is neither an option nor the value of one. */
export function attachOptionalValues(args: readonly string[], shapes: ReadonlyMap<string, ValueShape>): string[] {
  const attached: string[] = [];
  let i = 0;
  while (i < args.length) {
    const arg = args[i] as string;
    if (arg === '--' || arg === '-' || !arg.startsWith('-')) break;
    i++;
    const shape = shapeOf(arg, shapes);
    if (shape?.kind !== 'optional') {
      attached.push(arg);
      if (shape?.kind === 'required' && i < args.length) attached.push(args[i++] as string);
      continue;
    }
    const next = args[i];
    const takesNext = next !== undefined && shape.accepts(next);
    if (takesNext) i++;
    attached.push(`${arg}=${takesNext ? next : shape.without}`);
  }
  return [...attached, ...args.slice(i)];
}

/** The shape of the value that stands behind this word; none when it is attached already (`--mtu=1500`, `-p8080`) or the option is not known. */
function shapeOf(arg: string, shapes: ReadonlyMap<string, ValueShape>): ValueShape | undefined {
  if (arg.startsWith('--')) return arg.includes('=') ? undefined : shapes.get(arg);
  for (let i = 1; i < arg.length; i++) {
    const shape = shapes.get(`-${arg[i]}`);
    if (shape === undefined) return undefined;
    // In a cluster such as -vp8080 what follows the letter is its value.
    if (shape.kind !== 'none') return i === arg.length - 1 ? shape : undefined;
  }
  return undefined;
}
