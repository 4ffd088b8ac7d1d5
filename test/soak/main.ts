/** `npm run soak -- --minutes N [--user root|user]`: see `soak.ts`. */
import { parseArgs } from 'node:util';
import { whyNoInternet } from '../support/netns/internet.ts';
import { soak } from './soak.ts';

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '10' }, user: { type: 'string', default: 'user' } },
});
const minutes = Number(values.minutes);
if (!(minutes > 0)) stop(`--minutes is a number above 0, not "${values.minutes}"`);
if (values.user !== 'root' && values.user !== 'user') stop(`--user is root or user, not "${values.user}"`);
const why = whyNoInternet();
if (why !== undefined) stop(why);

const problems = await soak({ minutes, user: values.user, say: (line) => console.log(line) });
for (const problem of problems) console.error(`npm run soak: ${problem}`);
console.log(problems.length === 0 ? 'all was carried, and nothing grew' : 'not well');
process.exit(problems.length === 0 ? 0 : 1);

function stop(message: string): never {
  console.error(`npm run soak: ${message}`);
  process.exit(2);
}
