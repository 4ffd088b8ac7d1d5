/** The configuration of an engine without anything: what an empty file says. A test holds it to that. */
import type { Config } from './config.ts';

export const EMPTY_CONFIG: Config = {
  interfaces: {},
  bridges: {},
  routes: [],
  neighbours: [],
  logging: { level: 'info', format: 'text' },
  defaults: { taps: 'enabled' },
};
