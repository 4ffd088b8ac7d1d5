/**
 * Parts of a configuration that serve those behind an interface: the uplink, published ports, DHCP, router advertisements, DNS.
 *
 * What a service says depends on the interface's addresses and MTU, and on the other services there, so all settings of an interface are made anew when any of these changes.
 */
import { type IpAddress, type IpPrefix, isIpv4, isLinkLocal } from '../base/address.ts';
import { assert } from '../base/assert.ts';
import { failure, type Result, success } from '../base/result.ts';
import type { ServicesConfig } from '../config/config.ts';
import type { Contents } from '../config/parts.ts';
import { sameValue } from '../config/same-value.ts';
import type { DataPlane } from './data-plane.ts';
import { dhcpSettings, routerSettings } from './interface-services.ts';
import type { Port } from './port.ts';
import { type Guests, PublishedPorts } from './published.ts';

type Of<Kind extends Contents['kind']> = Extract<Contents, { kind: Kind }>;
type Services = { -readonly [Key in keyof ServicesConfig]: ServicesConfig[Key] };

interface Settings {
  readonly dhcp: ReturnType<typeof dhcpSettings>;
  readonly router: ReturnType<typeof routerSettings>;
  readonly advertised: { readonly addresses: readonly IpPrefix[]; readonly mtu: number } | undefined;
  readonly dns: readonly IpAddress[] | undefined;
}

const DONE: Result<void> = success(undefined);

export class ServiceParts {
  readonly #plane: DataPlane;
  readonly #published: PublishedPorts;
  /** By the interface's name. */
  readonly #services: Map<string, Services> = new Map();
  /** What its services were told last, by the interface's index. */
  readonly #settings: Map<number, Settings> = new Map();

  constructor(plane: DataPlane) {
    this.#plane = plane;
    this.#published = new PublishedPorts(plane.sys, plane.engine.tcpListeners, plane.engine.udp);
  }

  setUplink(uplink: Of<'uplink'> | undefined): Result<void> {
    const { engine, policy, wiring } = this.#plane;
    if (uplink !== undefined && uplink.flowsMax > engine.flows.max) {
      return failure(
        'uplink-flows-fixed',
        `uplink.flowsMax ${uplink.flowsMax} is more than the ${engine.flows.max} that the engine was started with: start it anew with this configuration`,
      );
    }
    if (uplink !== undefined) policy.configure(uplink);
    else engine.closeFlows(-1);
    wiring.setUplink(uplink !== undefined);
    return DONE;
  }

  addService(part: Of<'service'>): Result<void> {
    const services = this.#services.get(part.interface) ?? {};
    this.#services.set(part.interface, { ...services, [part.service]: part.settings });
    this.refresh(part.interface);
    return DONE;
  }

  removeService({ interface: name, service }: Of<'service'>): void {
    const services = { ...this.#services.get(name) };
    delete services[service];
    this.#services.set(name, services);
    this.refresh(name);
    if (Object.keys(services).length > 0) return;
    this.#services.delete(name);
    this.#settings.delete(this.#port(name).index);
  }

  publish({ interface: name, rule }: Of<'publish'>): Result<void> {
    return this.#published.add(this.#port(name).index, [rule], this.#guestsOf(name));
  }

  unpublish({ interface: name, rule }: Of<'publish'>): void {
    this.#published.remove(this.#port(name).index, rule);
  }

  /** What an interface serves, by name. */
  on(interfaceName: string): string[] {
    return Object.keys(this.#services.get(interfaceName) ?? {}).sort();
  }

  /** Something that services tell of has changed. */
  refresh(interfaceName: string): void {
    const services = this.#services.get(interfaceName);
    if (services === undefined) return;
    const { forwarding, policy, wiring } = this.#plane;
    const { index } = this.#port(interfaceName);
    const addresses = forwarding.addresses.list(index);
    const mtu = forwarding.interfaces.mtu[index]!;
    const before = this.#settings.get(index);
    const now: Settings = {
      dhcp: dhcpSettings(services, addresses, mtu),
      // What is advertised is read from the interface: it begins anew when that has changed.
      router: routerSettings(services, addresses),
      advertised: services.ra === undefined ? undefined : { addresses, mtu },
      dns: services.dns?.servers,
    };
    this.#settings.set(index, now);
    if (!sameValue(before?.dhcp, now.dhcp)) wiring.dhcp.configure(index, now.dhcp);
    if (!sameValue([before?.router, before?.advertised], [now.router, now.advertised])) {
      wiring.advertiser.configure(index, now.router);
    }
    if (!sameValue(before?.dns, now.dns)) policy.setDns(index, now.dns);
  }

  /** The guest of a rule that names none: whoever the tap's namespace holds. */
  #guestsOf(name: string): Guests {
    const port = this.#port(name);
    const addresses = port.kind === 'tap' ? port.hostAddresses.map(({ address }) => address) : [];
    return {
      ipv4: addresses.find(isIpv4),
      ipv6: addresses.find((address) => !isIpv4(address) && !isLinkLocal(address)),
    };
  }

  #port(name: string): Port {
    const port = this.#plane.ports.find(name);
    assert(port !== undefined, 'an interface is there before what it serves');
    return port;
  }
}
