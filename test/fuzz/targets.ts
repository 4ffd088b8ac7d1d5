import type { FuzzTarget } from './target.ts';
import { apiTarget } from './targets/api.ts';
import { engineTarget } from './targets/engine.ts';
import { fileTargets } from './targets/files.ts';
import { forwardingTarget } from './targets/forwarding.ts';
import { linksTarget } from './targets/links.ts';
import { reassemblyTarget } from './targets/reassembly.ts';
import { servicesTarget } from './targets/services.ts';
import { tcpFlowTarget } from './targets/tcp-flow.ts';
import { textTargets } from './targets/texts.ts';
import { vhostUserTarget } from './targets/vhost-user.ts';
import { virtqueueTarget } from './targets/virtqueue.ts';
import { wireTargets } from './targets/wire.ts';

/** All targets but the canary, the cheap ones first. */
export const TARGETS: readonly FuzzTarget[] = [
  ...wireTargets,
  ...fileTargets,
  ...textTargets,
  apiTarget,
  linksTarget,
  reassemblyTarget,
  virtqueueTarget,
  vhostUserTarget,
  servicesTarget,
  tcpFlowTarget,
  engineTarget,
  forwardingTarget,
];
