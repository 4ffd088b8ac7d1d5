/** `npm run fuzz`: sets up what is missing, then fuzzes; what it takes stands in `test/fuzz/settings.ts`. */
import { setup } from './setup.mjs';

setup('all');
await import('../dist/test/fuzz/main.js');
