/** What bounds an ordinary user: the lowest port to listen at, and how many descriptors a process may have. */
import { readFileSync } from 'node:fs';
import { FLOWS_MAX_DEFAULT } from '../../base/limits.ts';
import type { Check } from './check.ts';

/** Descriptors that are not flows' own: the tap, epoll, timers, listeners, logs. */
const DESCRIPTORS_RESERVED = 1024;

export function probePorts(
  start: number | undefined = readNumber('/proc/sys/net/ipv4/ip_unprivileged_port_start'),
): Check {
  const id = 'unprivileged-ports';
  const title = 'Low ports';
  if (process.geteuid?.() === 0) return { id, title, status: 'ok', found: 'root may listen at all of them' };
  if (start === undefined)
    return { id, title, status: 'info', found: 'net.ipv4.ip_unprivileged_port_start is not known' };
  if (start <= 80) return { id, title, status: 'ok', found: `this user may listen from port ${start} on` };
  return {
    id,
    title,
    status: 'info',
    found: `this user may listen from port ${start} on`,
    without: `"--publish" of the host's ports below ${start} fails; inside, all ports are free`,
    fix: 'sysctl -w net.ipv4.ip_unprivileged_port_start=80  (as root)',
  };
}

export function probeDescriptors(limits: string | undefined = readText('/proc/self/limits')): Check {
  const id = 'descriptors';
  const title = 'Open files';
  const match = /^Max open files\s+(\d+|unlimited)\s+(\d+|unlimited)/m.exec(limits ?? '');
  if (match === null) return { id, title, status: 'info', found: 'the limit is not known' };
  // Node raises its soft limit to the hard one when it starts.
  const hard = match[2] === 'unlimited' ? Number.POSITIVE_INFINITY : Number(match[2]);
  const wanted = FLOWS_MAX_DEFAULT + DESCRIPTORS_RESERVED;
  if (hard >= wanted) return { id, title, status: 'ok', found: `${match[2]} for one process` };
  return {
    id,
    title,
    status: 'warning',
    found: `${hard} for one process`,
    without: `about ${Math.max(0, hard - DESCRIPTORS_RESERVED)} flows at one time, not ${FLOWS_MAX_DEFAULT}`,
    fix: `ulimit -Hn ${wanted}, or in /etc/security/limits.conf: * hard nofile ${wanted}  (as root)`,
  };
}

function readNumber(path: string): number | undefined {
  const text = readText(path)?.trim();
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
