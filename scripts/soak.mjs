/** `npm run soak -- --minutes N`: sets up what is missing, then runs `test/soak/main.ts`, which needs root for its network namespaces. */
import { setup } from './setup.mjs';

setup('all');
await import('../dist/test/soak/main.js');
