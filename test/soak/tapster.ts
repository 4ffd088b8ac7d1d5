/**
 * The whole of `tapster`, with a heart-beat: on each second a line of JSON on the standard error says what its heap holds after a collection. Needs `--expose-gc`; the
 * command line is `tapster`'s own.
 */
import { getHeapStatistics } from 'node:v8';
import { main } from '#tapster/cli/program.js';

const BEAT_MS = 1000;

export interface Beat {
  readonly heapBytes: number;
  /** Arrays outside of the heap. */
  readonly externalBytes: number;
}

setInterval(() => {
  (globalThis as { gc?: () => void }).gc?.();
  const { used_heap_size, external_memory } = getHeapStatistics();
  const beat: Beat = { heapBytes: used_heap_size, externalBytes: external_memory };
  process.stderr.write(`${JSON.stringify({ beat })}\n`);
}, BEAT_MS).unref();

process.exit(await main(process.argv.slice(2)));
