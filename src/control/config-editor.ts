/**
 * All changes of the configuration that come by the API, one after the other: each sees what the one before it left. A single change is made on the whole
 * document, judged as a whole, and applied all or nothing.
 *
 * With `ifRevision` a change is of that revision or not at all. Without, somebody else's change in between (a reload, an `apply`) lets it begin again.
 */
import type { Failure, Result } from '../base/result.ts';
import type { Config } from '../config/config.ts';
import { checkConfig, type ParsedConfig } from '../config/parse-config.ts';
import { formatPath, type Problem } from '../config/problem.ts';
import { writeConfig } from '../config/schema.ts';
import type { ApplyOptions, RunningNetwork } from '../network/running-network.ts';
import type { ApplyView } from '../network/views.ts';
import { ApiError } from './api-error.ts';
import type { ConfigDocument } from './client.ts';
import type { Edit } from './edit-config.ts';
import { refused } from './refusal.ts';

const TRIES_MAX = 4;
/** Named in a sentence; the problem document has them all. */
const PLACES_MAX = 3;

export class ConfigEditor {
  readonly #network: RunningNetwork;
  #last: Promise<unknown>;

  constructor(network: RunningNetwork) {
    this.#network = network;
    this.#last = Promise.resolve();
  }

  /** Plain JSON, with all defaults. */
  document(): { readonly document: ConfigDocument; readonly revision: number } {
    const { config, revision } = this.#network.configuration();
    return { document: written(config), revision };
  }

  /** Without what may be long, for those who look for an interface or the uplink. */
  documentWithoutLists(): ConfigDocument {
    return written({ ...this.#network.configuration().config, routes: [], neighbours: [] });
  }

  /** Applies the whole configuration that `parsed` is. */
  replace(parsed: ParsedConfig, options: ApplyOptions): Promise<ApplyView> {
    return this.#inTurn(() => this.#apply(judged(parsed), options));
  }

  /** `needed`: what to say where the document is wrong without what was taken away. */
  change(edit: Edit, options: ApplyOptions, needed?: string): Promise<ApplyView> {
    return this.#inTurn(async () => {
      for (let tries = 1; ; tries++) {
        const { document, revision } = this.document();
        const edited = edit(document);
        if (!edited.ok) throw refused(edited.failure, 'ask');
        const config = judged(checkConfig(edited.value), needed);
        try {
          return await this.#apply(config, { ...options, ifRevision: options.ifRevision ?? revision });
        } catch (error) {
          const again = error instanceof ApiError && error.code === 'revision-conflict';
          if (!again || options.ifRevision !== undefined || tries === TRIES_MAX) throw error;
        }
      }
    });
  }

  async #apply(config: Config, options: ApplyOptions): Promise<ApplyView> {
    const result: Result<ApplyView> = await this.#network.apply(config, options);
    if (result.ok) return result.value;
    throw refused(result.failure, 'change');
  }

  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const done = this.#last.then(change);
    this.#last = done.catch(() => {});
    return done;
  }
}

/** `undefined`, which JSON has no word for, is left out. */
function written(config: Config): ConfigDocument {
  return JSON.parse(JSON.stringify(writeConfig(config))) as ConfigDocument;
}

function judged(parsed: ParsedConfig, needed?: string): Config {
  if (parsed.ok) return parsed.value;
  const { failure, problems } = parsed;
  if (needed !== undefined) {
    const places = problems.slice(0, PLACES_MAX).map(({ path }) => formatPath(path));
    const others = problems.length > PLACES_MAX ? ` and ${problems.length - PLACES_MAX} more` : '';
    throw new ApiError(409, 'still-needed', `${needed} by ${places.join(', ')}${others}`, problems);
  }
  throw new ApiError(422, failure.code, whatIsWrong(failure, problems), problems);
}

/** What was no text has no lines; the first mistake's path says where it is. */
function whatIsWrong(failure: Failure, problems: readonly Problem[]): string {
  const [first] = problems;
  if (first === undefined || first.line > 0 || first.path.length === 0) return failure.message;
  const others = problems.length > 1 ? `, and ${problems.length - 1} more` : '';
  return `the configuration is wrong: ${formatPath(first.path)} ${first.message}${others}`;
}
