/** All that `tapster doctor` looks at, in the order in which it is told: what `run` can not do without first. */
import { LinuxSys } from '../../sys/linux.ts';
import type { Check } from './check.ts';
import { probeTunDevice, probeVhostNet } from './devices.ts';
import { probeDescriptors, probePorts } from './limits.ts';
import { probeNamespaces } from './namespace.ts';
import { probePeekOffset } from './peek-offset.ts';
import { probePingSockets } from './ping.ts';
import { probeResolvers } from './resolvers.ts';
import { probeLandlock, probeSeccomp } from './sandbox.ts';
import { probeKernel, probeNode } from './versions.ts';

export async function probeMachine(): Promise<Check[]> {
  const sys = new LinuxSys();
  return [
    probeTunDevice(),
    ...probeNamespaces(),
    probePingSockets(sys),
    await probePeekOffset(sys),
    await probeResolvers(),
    probePorts(),
    probeDescriptors(),
    probeLandlock(),
    probeSeccomp(),
    probeVhostNet(),
    probeKernel(),
    probeNode(),
  ];
}
