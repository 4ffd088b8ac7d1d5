/** What the schema refuses, as problems: one for each value and each key, in words that say what would be right. */
import type { z } from 'zod';
import { didYouMean } from '../base/spelling.ts';
import type { Problem } from './problem.ts';
import { shortValue } from './problem.ts';
import type { YamlSource } from './yaml-source.ts';

type Issue = z.core.$ZodIssue;
type RawIssue = z.core.$ZodRawIssue;
type Path = readonly (string | number)[];

/** Problems of the data as the schema sees them; `source` knows where they stand. */
export function schemaProblems(error: z.ZodError, source: YamlSource): Problem[] {
  return error.issues.flatMap((issue) => problemsOf(issue, [], source));
}

/** Says what would be right, where the schema itself does not. Given to `safeParse`. Of unknown keys: a line for each. */
export function describeIssue(issue: RawIssue): string | undefined {
  switch (issue.code) {
    case 'unrecognized_keys': {
      const known = knownKeys(issue.inst);
      return issue.keys.map((key) => unknownKey(key, known)).join('\n');
    }
    case 'invalid_type':
      if (issue.input === undefined) return 'is missing';
      return `must be ${TYPES[issue.expected] ?? issue.expected}${issue.input === null ? ': nothing is written here' : ''}`;
    case 'invalid_value':
      if (issue.input === undefined) return `is missing: ${listed(issue.values)}`;
      return `must be ${listed(issue.values)}${didYouMean(String(issue.input), issue.values.map(String))}`;
    case 'too_small':
      return issue.origin === 'array' ? `must have ${issue.minimum} at least` : `must be ${issue.minimum} at least`;
    case 'too_big':
      return issue.origin === 'array' ? `must have ${issue.maximum} at most` : `must be ${issue.maximum} at most`;
    case 'not_multiple_of':
      return 'must be a whole number';
    default:
      return undefined;
  }
}

const TYPES: Readonly<Record<string, string>> = {
  object: 'a mapping, such as {}',
  record: 'a mapping of names',
  array: 'a list, such as [a, b]',
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
};

const CODES: Readonly<Record<string, string>> = {
  unrecognized_keys: 'key-unknown',
  invalid_type: 'type-wrong',
  invalid_key: 'name-wrong',
};

function problemsOf(issue: Issue, above: Path, source: YamlSource): Problem[] {
  const path: Path = [...above, ...(issue.path as Path)];
  if (issue.code === 'unrecognized_keys') {
    const messages = issue.message.split('\n');
    return issue.keys.map((key, index) => ({
      code: 'key-unknown',
      ...source.placeOfKey([...path, key]),
      path: [...path, key],
      value: '',
      message: messages[index] ?? 'is no key',
    }));
  }
  if (issue.code === 'invalid_key') {
    const message = issue.issues[0]?.message ?? 'is no name';
    return [{ code: 'name-wrong', ...source.placeOfKey(path), path, value: shortValue(issue.input), message }];
  }
  if (issue.code === 'invalid_union') return unionProblems(issue.errors as Issue[][], issue, path, source);
  const missing = issue.input === undefined;
  const code = missing ? 'value-missing' : (CODES[issue.code] ?? 'value-wrong');
  const place = missing ? source.placeOfKey(path) : source.placeOfValue(path);
  return [{ code, ...place, path, value: shortValue(issue.input), message: issue.message }];
}

/** What was written is of one alternative's kind, and has that one's problems; or of none's, and the first alternative says what it should be. */
function unionProblems(alternatives: readonly Issue[][], issue: Issue, path: Path, source: YamlSource): Problem[] {
  const meant = alternatives.find((issues) => !issues.some((each) => each.path.length === 0 && isOfOtherKind(each)));
  if (meant !== undefined) return meant.flatMap((each) => problemsOf(each, path, source));
  const message = alternatives[0]?.[0]?.message ?? issue.message;
  if (issue.input === undefined)
    return [{ code: 'value-missing', ...source.placeOfKey(path), path, value: '', message }];
  return [{ code: 'type-wrong', ...source.placeOfValue(path), path, value: shortValue(issue.input), message }];
}

/** Says that the value is of another kind altogether. */
function isOfOtherKind(issue: Issue): boolean {
  return issue.code === 'invalid_type';
}

function unknownKey(key: string, known: readonly string[]): string {
  const near = didYouMean(key, known);
  return near === ''
    ? `is no key here: ${known.join(', ')} ${known.length === 1 ? 'is' : 'are'}`
    : `is no key here${near}`;
}

function knownKeys(schema: RawIssue['inst']): readonly string[] {
  const definition = schema?._zod.def as { readonly shape?: object } | undefined;
  return Object.keys(definition?.shape ?? {});
}

function listed(values: readonly unknown[]): string {
  const words = values.map(String);
  return words.length < 2 ? words.join() : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}
