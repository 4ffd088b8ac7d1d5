/** The words of `npm run fuzz`. */
export interface Settings {
  readonly targets: readonly string[];
  readonly seconds: number;
  readonly seed: number;
  /** Inputs of each target at most. */
  readonly inputsMax: number;
  /** Coverage guides. */
  readonly guided: boolean;
  /** One input instead: digits, or a file of them. */
  readonly input: string | undefined;
  readonly compare: boolean;
  readonly list: boolean;
  /** What has been reached is printed as JSON: for `--compare`, which runs itself. */
  readonly report: 'text' | 'measured';
  /** Adds inputs that reached something new to the corpus. */
  readonly keep: boolean;
}

const USAGE = `npm run fuzz [-- TARGET...] [options]

  --seconds N    how long in all, shared among the targets; 60 unless said
  --seed S       where the dice start; from the clock unless said
  --frames N     stop after so many inputs of each target
  --input HEX    run this one input of TARGET: digits, or a file of them
  --guided       keep and mutate inputs that reach new code: fewer inputs, less blind
  --keep         add inputs that reach what the corpus does not to test/fuzz/corpus; guided
  --compare      how many blocks of code are reached with guidance and without
  --list         the targets
`;

export function parseSettings(words: readonly string[]): Settings | string {
  const targets: string[] = [];
  const values = new Map<string, string>();
  const flags = new Set<string>();
  for (let i = 0; i < words.length; i++) {
    const [name = '', ...given] = words[i]!.split('=');
    if (!name.startsWith('--')) targets.push(words[i]!);
    else if (['--guided', '--keep', '--compare', '--list', '--measured', '--help'].includes(name)) flags.add(name);
    else if (!['--seconds', '--seed', '--frames', '--input'].includes(name)) return `${name} is no option\n\n${USAGE}`;
    else values.set(name, given.length > 0 ? given.join('=') : (words[++i] ?? ''));
  }
  if (flags.has('--help')) return USAGE;
  for (const name of ['--seconds', '--seed', '--frames']) {
    const text = values.get(name);
    if (text !== undefined && !/^\d{1,10}(\.\d+)?$/.test(text)) return `${name} "${text}" is no number\n`;
  }
  return {
    targets,
    seconds: Number(values.get('--seconds') ?? 60),
    seed: Number(values.get('--seed') ?? Date.now() % 1_000_000_000),
    inputsMax: Number(values.get('--frames') ?? Number.POSITIVE_INFINITY),
    guided: flags.has('--guided') || flags.has('--keep'),
    input: values.get('--input'),
    compare: flags.has('--compare'),
    list: flags.has('--list'),
    report: flags.has('--measured') ? 'measured' : 'text',
    keep: flags.has('--keep'),
  };
}
