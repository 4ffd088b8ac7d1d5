/** What goes wrong when namespaces are made, as failures and warnings that say what to do. The steps are those of native/namespace.h. */
import { readFileSync } from 'node:fs';
import { failure, type Result } from '../base/result.ts';
import { ERRNO, errnoName } from './errno.ts';

export const STEP = {
  PROCESS: 1,
  SETGROUPS: 2,
  UID_MAP: 3,
  GID_MAP: 4,
  MOUNTS: 5,
  PROC: 6,
  FILES: 7,
  FILE: 8,
  LOOPBACK: 9,
  TUN_OPEN: 10,
  TUN_INTERFACE: 11,
  TUN_HEADER: 12,
  NETLINK: 13,
  SYSCTL: 14,
  DIRECTORY: 15,
  EXEC: 16,
} as const;

/** ENOSPC and EUSERS are what the limits in /proc/sys/user give, the second on kernels before 4.9. */
const EUSERS = 87;

/** Sysctls by which systems keep ordinary users from user namespaces, with the value that does, and the command that allows them. */
const RESTRICTIONS = [
  ['kernel/unprivileged_userns_clone', '0', 'sudo sysctl kernel.unprivileged_userns_clone=1'],
  ['user/max_user_namespaces', '0', 'sudo sysctl user.max_user_namespaces=10000'],
  ['kernel/apparmor_restrict_unprivileged_userns', '1', 'sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0'],
] as const;

/** Why clone(2) failed. */
export function cloneFailure(errno: number, userNamespace: boolean): Result<never> {
  const name = errnoName(errno);
  if (errno === ERRNO.ENOSPC || errno === EUSERS) {
    return (
      restrictedFailure(name) ??
      failure(
        'namespaces-exhausted',
        `no more namespaces can be made (${name}): raise the limits user.max_*_namespaces with sysctl, or end what uses them`,
      )
    );
  }
  if (errno === ERRNO.ENOSYS)
    return failure('kernel-too-old', 'this kernel has no process descriptors: Linux 5.2 or newer is needed');
  if (errno === ERRNO.EINVAL) {
    return failure(
      'namespaces-unsupported',
      'this kernel is built without user, network or PID namespaces: take one with CONFIG_USER_NS, CONFIG_NET_NS and CONFIG_PID_NS',
    );
  }
  if (errno === ERRNO.EPERM && userNamespace) return userNamespacesFailure(name);
  if (errno === ERRNO.EPERM)
    return failure(
      'namespaces-denied',
      'making namespaces is denied (EPERM) though we are root: a security filter of this container forbids it',
    );
  return failure(
    'namespaces-failed',
    `namespaces can not be made: ${name}. Is the machine out of memory, or at its limit of processes?`,
  );
}

/** Why the child ended before it was ready. */
export function stepFailure(step: number, errno: number, tap: string, userNamespace: boolean): Result<never> {
  const name = errnoName(errno);
  const denied = errno === ERRNO.EPERM || errno === ERRNO.EACCES;
  switch (step) {
    case STEP.SETGROUPS:
    case STEP.UID_MAP:
    case STEP.GID_MAP:
      return denied
        ? userNamespacesFailure(name)
        : failure('user-map-failed', `our user can not be mapped into the namespace: ${name}`);
    case STEP.MOUNTS:
      if (denied && userNamespace) return userNamespacesFailure(name);
      return failure(
        'mounts-denied',
        `the mounts of the namespace can not be separated from the host's: ${name}. Is this a chroot? Leave it`,
      );
    case STEP.LOOPBACK:
      if (denied && userNamespace) return userNamespacesFailure(name);
      return failure('loopback-failed', `lo can not be brought up in the namespace: ${name}`);
    case STEP.TUN_OPEN:
      return tunDeviceFailure(errno);
    case STEP.TUN_INTERFACE:
      if (denied && userNamespace) return userNamespacesFailure(name);
      return failure(
        'tap-failed',
        `the interface ${tap} can not be made: ${name}. Does this kernel know taps (CONFIG_TUN)?`,
      );
    case STEP.TUN_HEADER:
      return failure(
        'tap-header-failed',
        `the interface ${tap} does not take virtio-net headers of 12 bytes: ${name}. Linux 3.10 or newer is needed`,
      );
    case STEP.NETLINK:
      return failure('netlink-unavailable', `a netlink socket can not be opened in the namespace: ${name}`);
    default:
      return failure(
        'namespace-failed',
        `the first process of the namespace can not be set up (step ${step}): ${name}`,
      );
  }
}

/** What the child could not do and went on without. */
export function stepWarning(step: number, errno: number, path: string): string {
  const name = errnoName(errno);
  if (step === STEP.PROC) return `/proc inside shows the host's processes: mounting it anew was refused (${name})`;
  if (step === STEP.FILES) return `no file is replaced inside: there is no room for a tmpfs (${name})`;
  if (step === STEP.FILE && errno === ERRNO.ENOENT)
    return `${path} does not exist here, so it can not be replaced inside: create it (empty)`;
  if (step === STEP.FILE) return `${path} can not be replaced inside: ${name}`;
  return `${path} can not be set inside: ${name}`;
}

/** Why /dev/net/tun can not be opened. */
export function tunDeviceFailure(errno: number): Result<never> {
  const name = errnoName(errno);
  if (errno === ERRNO.EACCES || errno === ERRNO.EPERM) {
    return failure(
      'tun-device-denied',
      `/dev/net/tun may not be opened (${name}): "sudo chmod 0666 /dev/net/tun" opens it to everyone, and the line KERNEL=="tun", MODE="0666" in /etc/udev/rules.d/50-tun.rules does so at every boot`,
    );
  }
  if (errno === ERRNO.ENOENT || errno === ERRNO.ENODEV || errno === ERRNO.ENXIO) {
    return failure(
      'tun-device-missing',
      `there is no /dev/net/tun (${name}): load its module with "sudo modprobe tun"; for a container pass the device in with --device /dev/net/tun`,
    );
  }
  return failure('tun-device-failed', `/dev/net/tun can not be opened: ${name}`);
}

function userNamespacesFailure(name: string): Result<never> {
  return (
    restrictedFailure(name) ??
    failure(
      'user-namespaces-disabled',
      `user namespaces are denied to ordinary users here (${name}), in a container or chroot by its security filter: allow them, or run as root`,
    )
  );
}

function restrictedFailure(name: string): Result<never> | undefined {
  for (const [path, value, command] of RESTRICTIONS) {
    if (sysctl(path) === value) {
      return failure(
        'user-namespaces-disabled',
        `user namespaces are denied to ordinary users (${name}): ${path.replaceAll('/', '.')} is ${value}. Allow them with "${command}", or run as root`,
      );
    }
  }
  return undefined;
}

function sysctl(path: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${path}`, 'latin1').trim();
  } catch {
    return undefined;
  }
}
