/** Where the program itself writes: the terminal, or what a test reads. */
export interface Output {
  out(text: string): void;
  error(text: string): void;
  /** Columns of the terminal; undefined when there is none. */
  readonly columns: number | undefined;
}
