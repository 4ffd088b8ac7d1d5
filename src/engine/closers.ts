/** What a session has made and must undo when it ends, however it ends. */

/** What has to be undone, last first. */
export class Closers {
  readonly #actions: (() => void | Promise<void>)[] = [];

  add(action: () => void | Promise<void>): void {
    this.#actions.push(action);
  }

  /** One that fails, by a bug of ours, does not keep the others from being done: the namespace must go. */
  async closeAll(): Promise<void> {
    const errors: unknown[] = [];
    for (let action = this.#actions.pop(); action !== undefined; action = this.#actions.pop()) {
      try {
        await action();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}
