/**
 * Makes a running network what a configuration says, all or nothing, and keeps it so.
 *
 * What goes without our doing (a tap that is deleted with its namespace) takes what depends on it along, in order: routes, services, addresses, then the interface. It is
 * *unmet* then: the configuration still wants it, and `repair` looks whether it can be again.
 */
import { type Failure, failure, type Result, success } from '../base/result.ts';
import type { Config } from '../config/config.ts';
import { describeAction } from '../config/describe-action.ts';
import { EMPTY_CONFIG } from '../config/empty-config.ts';
import { type Contents, type Part, partsOf } from '../config/parts.ts';
import { type Action, inverse, plan } from '../config/plan.ts';
import { Breather } from './change-line.ts';
import type { PartBuilder } from './part-builder.ts';
import type { ApplyOptions } from './running-network.ts';
import type { ActionView, ApplyView, UnmetView } from './views.ts';

export interface ConfiguratorEvents {
  /** These actions are about to be performed, when it has resolved. */
  changing?(actions: readonly Action[]): Promise<void>;
  /** Parts that are not there any more, though they are wanted. */
  lost(parts: readonly Part[], why: Failure): void;
  /** One that was unmet is there again. */
  met(part: Part): void;
}

export class Configurator {
  readonly #builder: PartBuilder;
  readonly #events: ConfiguratorEvents;
  #config: Config = EMPTY_CONFIG;
  #revision: number = 0;
  /** By the part's key, in the order of losing. */
  readonly #unmet: Map<string, UnmetView> = new Map();
  /** Of the unmet, those that are there, but otherwise than they should be: as what. */
  readonly #otherwise: Map<string, Contents> = new Map();

  constructor(builder: PartBuilder, events: ConfiguratorEvents) {
    this.#builder = builder;
    this.#events = events;
  }

  get config(): Config {
    return this.#config;
  }

  /** Grows with each change. */
  get revision(): number {
    return this.#revision;
  }

  get unmet(): UnmetView[] {
    return [...this.#unmet.values()];
  }

  /** One at a time. */
  async apply(config: Config, { dryRun = false, ifRevision }: ApplyOptions = {}): Promise<Result<ApplyView>> {
    if (ifRevision !== undefined && ifRevision !== this.#revision) {
      return failure(
        'revision-conflict',
        `the configuration has changed since: it is at revision ${this.#revision}, not ${ifRevision}; read it again`,
      );
    }
    const actions = plan(this.#config, config);
    const views = actions.map(viewOf);
    if (dryRun) return success({ revision: this.#revision, dryRun, actions: views });
    await this.#events.changing?.(actions);
    const performed = await this.#performAll(actions);
    if (!performed.ok) return performed;
    this.#config = config;
    if (actions.length > 0) this.#revision++;
    return success({ revision: this.#revision, dryRun, actions: views });
  }

  /** An interface has gone without our doing. */
  lose(interfaceName: string, why: Failure): void {
    const parts = [...partsOf(this.#config).values()];
    const going = new Set([`interface ${interfaceName}`]);
    for (const { key, needs } of parts) if (needs.some((need) => going.has(need))) going.add(key);
    const lost = parts.filter(({ key }) => going.has(key) && !this.#isMissing(key));
    for (const part of [...lost].reverse()) this.#builder.remove(this.#otherwise.get(part.key) ?? part.contents);
    for (const part of lost) {
      this.#otherwise.delete(part.key);
      this.#setUnmet(part.key, why);
    }
    this.#events.lost(lost, why);
  }

  /** Makes what is unmet, where that is possible now. */
  async repair(): Promise<void> {
    if (this.#unmet.size === 0) return;
    const breather = new Breather();
    for (const part of partsOf(this.#config).values()) {
      if (!this.#unmet.has(part.key) || part.needs.some((need) => this.#isMissing(need))) continue;
      const otherwise = this.#otherwise.get(part.key);
      const made =
        otherwise === undefined ? this.#builder.add(part.contents) : this.#builder.change(otherwise, part.contents);
      if (made.ok) {
        this.#forget(part.key);
        this.#events.met(part);
      } else {
        this.#setUnmet(part.key, made.failure);
      }
      await breather.breathe();
    }
  }

  async #performAll(actions: readonly Action[]): Promise<Result<void>> {
    const before = new Map(this.#unmet);
    const breather = new Breather();
    for (const [index, action] of actions.entries()) {
      const done = this.#perform(action);
      if (!done.ok) {
        const left = await this.#undo(actions.slice(0, index), before);
        return actionFailure(action, done.failure, left);
      }
      await breather.breathe();
    }
    return success(undefined);
  }

  #perform({ do: verb, part, ...rest }: Action): Result<void> {
    switch (verb) {
      case 'add': {
        const missing = part.needs.find((need) => this.#isMissing(need));
        if (missing === undefined) return this.#builder.add(part.contents);
        this.#setUnmet(part.key, { code: 'part-unmet', message: `${missing} is not there` });
        return success(undefined);
      }
      case 'remove': {
        const isMissing = this.#isMissing(part.key);
        const contents = this.#otherwise.get(part.key) ?? part.contents;
        const removed = isMissing ? success(undefined) : this.#builder.remove(contents);
        if (removed.ok) this.#forget(part.key);
        return removed;
      }
      case 'change': {
        if (this.#isMissing(part.key)) return success(undefined);
        const before = this.#otherwise.get(part.key) ?? (rest as { from: Part }).from.contents;
        const changed = this.#builder.change(before, part.contents);
        if (changed.ok) this.#forget(part.key);
        return changed;
      }
    }
  }

  /** Undoes actions, the last first. What can not be undone is unmet then, and told. */
  async #undo(actions: readonly Action[], before: ReadonlyMap<string, UnmetView>): Promise<string[]> {
    const left: string[] = [];
    for (const action of [...actions].reverse()) {
      const undoing = inverse(action);
      const wasUnmet = before.get(undoing.part.key);
      if (undoing.do === 'add' && wasUnmet !== undefined) {
        this.#unmet.set(undoing.part.key, wasUnmet);
        continue;
      }
      const undone = this.#perform(undoing);
      if (undone.ok) continue;
      left.push(`${describeAction(undoing)} (${undone.failure.message})`);
      if (undoing.do !== 'remove') this.#setUnmet(undoing.part.key, undone.failure);
      if (undoing.do === 'change') this.#otherwise.set(undoing.part.key, action.part.contents);
    }
    return left;
  }

  /** Unmet, and not there at all. */
  #isMissing(part: string): boolean {
    return this.#unmet.has(part) && !this.#otherwise.has(part);
  }

  #forget(part: string): void {
    this.#unmet.delete(part);
    this.#otherwise.delete(part);
  }

  #setUnmet(part: string, { code, message }: Failure): void {
    this.#unmet.set(part, { part, code, message });
  }
}

function actionFailure(action: Action, cause: Failure, left: readonly string[]): Result<never> {
  const rest = left.length === 0 ? 'everything is as it was' : `and could not all be undone: ${left.join('; ')}`;
  return failure(cause.code, `${describeAction(action)}: ${cause.message}; ${rest}`);
}

function viewOf(action: Action): ActionView {
  return { action: action.do, part: action.part.key, text: describeAction(action) };
}
