/** Parts of a configuration that serve those behind an interface: the uplink, published ports, DHCP, router advertisements, DNS; and logs. */
import { type Result, success } from '../base/result.ts';
import type { LoggingConfig } from '../config/config.ts';
import type { Contents } from '../config/parts.ts';
import type { DataPlane } from './data-plane.ts';

type Of<Kind extends Contents['kind']> = Extract<Contents, { kind: Kind }>;

const DONE: Result<void> = success(undefined);

export interface ServiceHooks {
  setLogging(logging: LoggingConfig): Result<void>;
}

export class ServiceParts {
  readonly #plane: DataPlane;
  readonly #hooks: ServiceHooks;

  constructor(plane: DataPlane, hooks: ServiceHooks) {
    this.#plane = plane;
    this.#hooks = hooks;
  }

  setLogging(logging: LoggingConfig): Result<void> {
    return this.#hooks.setLogging(logging);
  }

  setUplink(uplink: Of<'uplink'> | undefined): Result<void> {
    if (uplink === undefined) this.#plane.engine.closeFlows(-1);
    else this.#plane.policy.configure(uplink);
    return DONE;
  }

  addService(_part: Of<'service'>): Result<void> {
    return DONE;
  }

  removeService(_part: Of<'service'>): void {}

  publish(_part: Of<'publish'>): Result<void> {
    return DONE;
  }

  unpublish(_part: Of<'publish'>): void {}

  /** Addresses of ours have changed: services follow. */
  addressed(result: Result<void>): Result<void> {
    return result;
  }

  on(_interfaceName: string): string[] {
    return [];
  }
}
