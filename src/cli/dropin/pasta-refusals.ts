/** What pasta and passt can be asked for and Tapster does not do: refused by name, never passed over. */
import type { PastaOptions } from './pasta-options.ts';

/** The first thing that can't be done, as a sentence; undefined: all can. */
export function whyNotPasta(options: PastaOptions): string | undefined {
  const { guest } = options;
  if (guest.kind === 'virtual-machine') {
    const { repairPath } = guest;
    if (repairPath !== undefined && repairPath !== 'none') {
      return `--repair-path ${repairPath}: a machine that migrates loses its connections; use --repair-path none`;
    }
    if (guest.migrateExit) return '--migrate-exit: nothing is told of a migration; leave it out';
    if (guest.migrateNoLinger) return '--migrate-no-linger: nothing is told of a migration; leave it out';
    return undefined;
  }
  const { target, userNamespace } = guest;
  if (target.kind !== 'new') return undefined;
  if (userNamespace.kind === 'path') {
    const { path } = userNamespace;
    return `--userns ${path} with a command: its namespaces have a user namespace of their own; name a namespace that is there, or start pasta by "nsenter --user=${path}"`;
  }
  if (userNamespace.kind === 'none') {
    return '--netns-only with a command: its namespaces have a user namespace of their own; name a namespace that is there, such as one of "ip netns add"';
  }
  return undefined;
}
