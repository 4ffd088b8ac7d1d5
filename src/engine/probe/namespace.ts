/**
 * What `tapster run` does first, done for real and taken down again: namespaces (a user namespace too, unless we are root), a tap inside, and offloads agreed
 * upon with it.
 */
import { closeSync } from 'node:fs';
import type { Failure } from '../../base/result.ts';
import { startNamespace } from '../../sys/namespace.ts';
import { negotiateOffloads, TUN_F } from '../../sys/tun.ts';
import type { Check } from './check.ts';

/** Failures of the tap; all others are the namespaces' own. */
const TAP_FAILURE = /^(tap|tun)-/;

export function probeNamespaces(): Check[] {
  const started = startNamespace({ tap: { name: 'probe' } });
  if (!started.ok) return failed(started.failure);
  const child = started.value;
  const offloads = child.hasVnetHeader ? negotiateOffloads(child.tapFd) : undefined;
  closeSync(child.tapFd);
  child.end();
  const warnings = child.warnings.length > 0 ? ` (${child.warnings.join('; ')})` : '';
  return [namespacesWork(child.identity.userNamespace, warnings), tellOffloads(offloads)];
}

function namespacesWork(userNamespace: boolean, warnings: string): Check {
  const found = userNamespace
    ? 'user, network, mount and PID namespace made'
    : 'made; no user namespace is needed as root';
  return { id: 'namespaces', title: 'Namespaces', status: 'ok', found: `${found}${warnings}` };
}

function failed(failure: Failure): Check[] {
  const tap = TAP_FAILURE.test(failure.code);
  const offloads: Check = {
    id: 'tap-offloads',
    title: 'Tap offloads',
    status: tap ? 'missing' : 'info',
    found: tap ? failure.message : 'not tried: there is no namespace for a tap',
    ...(tap ? { without: '"tapster run" has no interface' } : {}),
  };
  if (tap) return [...namespacesAlone(), offloads];
  return [namespacesMissing(failure), offloads];
}

/** The tap failed: namespaces are tried without one. */
function namespacesAlone(): Check[] {
  const started = startNamespace({});
  if (!started.ok) return [namespacesMissing(started.failure)];
  started.value.end();
  return [namespacesWork(started.value.identity.userNamespace, '')];
}

function namespacesMissing(failure: Failure): Check {
  const command = /"(sudo [^"]+)"/.exec(failure.message)?.[1];
  return {
    id: 'namespaces',
    title: 'Namespaces',
    status: 'missing',
    found: failure.message,
    without: '"tapster run" can not give a command a network of its own',
    ...(command === undefined ? {} : { fix: command }),
  };
}

/** `offloads`: bits of `TUN_F`, -errno, or undefined where the tap has no virtio-net header. */
export function tellOffloads(offloads: number | undefined): Check {
  const id = 'tap-offloads';
  const title = 'Tap offloads';
  if (offloads === undefined || offloads <= 0) {
    return {
      id,
      title,
      status: 'warning',
      found: 'none',
      without: 'TCP is several times slower at small MTUs: every packet crosses alone, with its checksum computed here',
      fix: 'install Linux 6.2 or newer',
    };
  }
  const tcp = (offloads & TUN_F.TSO4) !== 0 && (offloads & TUN_F.TSO6) !== 0;
  const udp = (offloads & TUN_F.USO4) !== 0 && (offloads & TUN_F.USO6) !== 0;
  const found = ['checksum', tcp ? 'TCP segmentation' : '', udp ? 'UDP segmentation' : ''].filter(Boolean).join(', ');
  if (tcp && udp) return { id, title, status: 'ok', found };
  const without = `${[tcp ? '' : 'TCP', udp ? '' : 'UDP'].filter(Boolean).join(' and ')} segments cross one by one`;
  return { id, title, status: 'warning', found, without, fix: 'install Linux 6.2 or newer' };
}
