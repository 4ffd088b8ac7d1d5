/** `npm run bench`: sets up what is missing, then runs the suite; what it takes stands in `bench/main.ts`. */
import { setup } from './setup.mjs';

setup('all');
await import('../dist/bench/main.js');
