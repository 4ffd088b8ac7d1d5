/** A mistake on the command line: what is wrong, and on a second line what would be right. The process ends with `EXIT.usage`. */
export class UsageError extends Error {
  readonly right: string | undefined;

  constructor(message: string, right?: string) {
    super(message);
    this.name = 'UsageError';
    this.right = right;
  }
}
