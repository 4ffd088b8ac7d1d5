/**
 * `forward-engine.js CONFIGURATION`: a running network of that configuration (YAML, or JSON), in a process of its own as
 * `tapster up` has it. Says "ready" when it is what it is to be. Ends when it is killed.
 */
import { parseConfig } from '#tapster/config/parse-config.js';
import { createNetwork } from '#tapster/network/network.js';

const [text = ''] = process.argv.slice(2);
const config = parseConfig(text);
if (!config.ok) stop(config.failure.message);
const log = (level: string, message: string): void => {
  if (level === 'error' || level === 'warning') process.stderr.write(`${message}\n`);
};
const network = await createNetwork({ name: 'bench', version: '', log });
if (!network.ok) stop(network.failure.message);
const applied = await network.value.apply(config.value);
if (!applied.ok) stop(applied.failure.message);
const { unmet } = network.value.engine();
if (unmet.length > 0) stop(`unmet: ${JSON.stringify(unmet)}`);
process.stdout.write('ready\n');

function stop(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
