/** Makes, takes away and changes single parts of a configuration, whatever their kind. */
import { type Result, success } from '../base/result.ts';
import type { LoggingConfig } from '../config/config.ts';
import type { Contents } from '../config/parts.ts';
import type { DataPlane } from './data-plane.ts';
import { ForwardingParts } from './forwarding-parts.ts';
import { MachineParts } from './machine-parts.ts';
import { ServiceParts } from './service-parts.ts';
import { type OpenTap, TapParts } from './tap-parts.ts';

const DONE: Result<void> = success(undefined);

export class PartBuilder {
  readonly taps: TapParts;
  readonly machines: MachineParts;
  readonly forwarding: ForwardingParts;
  readonly services: ServiceParts;
  /** Hears of each part that was made, changed or taken away; of one that failed, too. */
  onChanged: (part: Contents) => void = () => {};
  readonly #onLogging: (logging: LoggingConfig) => Result<void>;

  /** `onLogging` hears of what is to be logged, and where; `openTap` makes the kernel's side of taps, where it is not the kernel that has it. */
  constructor(plane: DataPlane, onLogging: (logging: LoggingConfig) => Result<void>, openTap?: OpenTap) {
    this.taps = new TapParts(plane, openTap);
    this.machines = new MachineParts(plane);
    this.forwarding = new ForwardingParts(plane);
    this.services = new ServiceParts(plane);
    this.#onLogging = onLogging;
  }

  /** After a failure nothing of the part is there. */
  add(part: Contents): Result<void> {
    return this.#told(part, this.#add(part));
  }

  /** Only what is outside of ourselves can fail: the kernel's side of a tap. */
  remove(part: Contents): Result<void> {
    return this.#told(part, this.#remove(part));
  }

  /** To another part of the same kind and key; after a failure it is as it was. */
  change(from: Contents, to: Contents): Result<void> {
    return this.#told(to, this.#change(from, to));
  }

  #told(part: Contents, done: Result<void>): Result<void> {
    this.onChanged(part);
    return done;
  }

  #add(part: Contents): Result<void> {
    const { taps, machines, forwarding, services } = this;
    switch (part.kind) {
      case 'defaults':
        taps.defaults = part;
        return DONE;
      case 'logging':
        return this.#onLogging(part);
      case 'bridge':
        return forwarding.addBridge(part);
      case 'tap':
        return taps.add(part);
      case 'stream':
      case 'datagram':
      case 'vhost-user':
        return machines.add(part);
      case 'vlan':
        return forwarding.addVlan(part);
      case 'bvi':
        return forwarding.addBvi(part);
      case 'host-address':
        return taps.addHostAddress(part);
      case 'host-gateway':
        return taps.addHostGateway(part);
      case 'address':
        return this.#followed(part.interface, forwarding.addAddress(part));
      case 'member':
        return forwarding.addMember(part);
      case 'uplink':
        return services.setUplink(part);
      case 'neighbour':
        return forwarding.addNeighbour(part);
      case 'route':
        return forwarding.addRoute(part);
      case 'service':
        return services.addService(part);
      case 'publish':
        return services.publish(part);
      case 'up':
        return forwarding.setUp(part.interface, true);
    }
  }

  #remove(part: Contents): Result<void> {
    const { taps, machines, forwarding, services } = this;
    switch (part.kind) {
      case 'defaults':
      case 'logging':
        break;
      case 'bridge':
        forwarding.removeBridge(part);
        break;
      case 'tap':
        taps.remove(part);
        break;
      case 'stream':
      case 'datagram':
      case 'vhost-user':
        machines.remove(part);
        break;
      case 'vlan':
        forwarding.removeVlan(part);
        break;
      case 'bvi':
        forwarding.removeBvi(part);
        break;
      case 'host-address':
        return taps.removeHostAddress(part);
      case 'host-gateway':
        return taps.removeHostGateway(part);
      case 'address':
        forwarding.removeAddress(part);
        services.refresh(part.interface);
        break;
      case 'member':
        forwarding.removeMember(part);
        break;
      case 'uplink':
        services.setUplink(undefined);
        break;
      case 'neighbour':
        forwarding.removeNeighbour(part);
        break;
      case 'route':
        forwarding.removeRoute(part);
        break;
      case 'service':
        services.removeService(part);
        break;
      case 'publish':
        services.unpublish(part);
        break;
      case 'up':
        return forwarding.setUp(part.interface, false);
    }
    return DONE;
  }

  #change(from: Contents, to: Contents): Result<void> {
    const { taps, machines, forwarding, services } = this;
    switch (to.kind) {
      case 'bridge':
        return forwarding.changeBridge(to);
      case 'tap':
        return this.#followed(to.interface, taps.change(to));
      case 'stream':
      case 'datagram':
      case 'vhost-user':
        return this.#followed(to.interface, machines.change(to));
      case 'vlan':
      case 'bvi':
        return this.#followed(to.interface, forwarding.changePort(to));
      case 'member':
        return forwarding.changeMember(to);
      case 'route':
        return forwarding.changeRoute(to);
      case 'service':
        return services.addService(to);
      case 'uplink':
      case 'logging':
      case 'defaults':
        return this.#add(to);
      default: {
        const removed = this.#remove(from);
        return removed.ok ? this.#add(to) : removed;
      }
    }
  }

  /** Services tell of addresses and MTU. */
  #followed(interfaceName: string, changed: Result<void>): Result<void> {
    if (changed.ok) this.services.refresh(interfaceName);
    return changed;
  }
}
