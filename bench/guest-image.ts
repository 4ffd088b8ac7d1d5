/**
 * What the virtual machine of the benchmark boots. It is made by whoever may write the build's folder, and lies there for whoever measures: the kernel is kept in a cache that may be
 * root's alone.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { compiled } from './compile.ts';

const SCRIPT: string = fileURLToPath(new URL('../../scripts/vm-image.mjs', import.meta.url));
const FOLDER: string = fileURLToPath(new URL('./vm/', import.meta.url));
const UNAVAILABLE = 77;

export const GUEST_IMAGE: { readonly kernel: string; readonly initramfs: string } = {
  kernel: `${FOLDER}kernel`,
  initramfs: `${FOLDER}initramfs`,
};
/** Says why there is no image. */
const WHY_NOT = `${FOLDER}why-not`;

/** Makes the image anew where what is in it has changed. Returns what was said when that failed; a machine on which there can be none is no failure. */
export function makeGuestImage(): string | undefined {
  const program = compiled('traffic-client-static');
  const { kernel, initramfs } = GUEST_IMAGE;
  if (
    existsSync(kernel) &&
    statSync(initramfs).mtimeMs > Math.max(statSync(program).mtimeMs, statSync(SCRIPT).mtimeMs)
  ) {
    return undefined;
  }
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER);
  const made = spawnSync(process.execPath, [SCRIPT, initramfs, program], { encoding: 'utf8' });
  if (made.status === UNAVAILABLE) writeFileSync(WHY_NOT, made.stderr.trim());
  else if (made.status !== 0) return `the virtual machine's image could not be made: ${made.stderr.trim()}`;
  // Last: it says that all is there.
  else copyFileSync(made.stdout.trim(), kernel);
  return undefined;
}

/** Undefined: there is one. */
export function whyNoGuestImage(): string | undefined {
  if (existsSync(GUEST_IMAGE.kernel)) return undefined;
  return existsSync(WHY_NOT) ? readFileSync(WHY_NOT, 'utf8') : 'its image was not made';
}
