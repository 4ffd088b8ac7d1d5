/** Writes docs/config.md. For those who changed the schema: `node dist/config/write-reference.js`. */
import { writeFileSync } from 'node:fs';
import { configReference } from './reference.ts';

writeFileSync(new URL('../../docs/config.md', import.meta.url), configReference());
