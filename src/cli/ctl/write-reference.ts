/** Writes docs/ctl.md anew, after a change of the grammar: `node dist/cli/ctl/write-reference.js`. */
import { writeFileSync } from 'node:fs';
import { ctlReference } from './reference.ts';

writeFileSync(new URL('../../../docs/ctl.md', import.meta.url), ctlReference());
