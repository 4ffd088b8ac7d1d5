/**
 * Loads the native addon, once. Each module that uses it names the functions of its own family as an interface and asks
 * `loadNative` for them; nothing else may load the addon.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** From `src/sys` and from `dist/sys`, the package root is two folders up. */
const ADDON_PATH: string = fileURLToPath(new URL('../../native/build/Release/tapster.node', import.meta.url));

let addon: unknown;

/** The addon's functions, as the interface of one family. Throws an Error that says what to do when it is not built. */
export function loadNative<Family>(): Family {
  addon ??= requireAddon();
  return addon as Family;
}

function requireAddon(): unknown {
  if (process.platform !== 'linux') throw new Error(`tapster runs on Linux only, not on ${process.platform}`);
  if (!existsSync(ADDON_PATH)) {
    throw new Error(`the native addon is not built: ${ADDON_PATH} is missing. Run: node native/build.mjs`);
  }
  try {
    return createRequire(import.meta.url)(ADDON_PATH);
  } catch (cause) {
    throw new Error(`the native addon ${ADDON_PATH} can not be loaded. Run: node native/build.mjs --force`, { cause });
  }
}
