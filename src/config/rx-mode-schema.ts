/** `rxMode`, of taps and of machines by vhost-user. */
import { z } from 'zod';
import type { TapConfig } from './config.ts';

export const RX_MODE_SCHEMA: z.ZodType<TapConfig['rxMode']> = z
  .enum(['polling', 'interrupt', 'adaptive'])
  .default('interrupt')
  .describe('Ask for frames all the time, wait to be told, or change between both by load.');
