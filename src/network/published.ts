/**
 * Published ports of interfaces: the host's sockets of rules, opened and closed while the network runs.
 *
 * A rule is added whole or not at all, and so is a list of rules. When one goes, its sockets take no callers any more, and the flows that came by them stay. UDP's flows
 * share the socket of their rule, which is so kept until the last of them ends, or until another rule needs its port: then they end.
 *
 * A rule without an address to lead to leads to whoever the interface's namespace holds: `guests` has an address of each family that it has. It listens in
 * these families, one with an address in that address's, for a flow is of one family.
 */
import { type IpAddress, isIpv4 } from '../base/address.ts';
import { failure, type Result, success } from '../base/result.ts';
import type { PublishConfig } from '../config/config.ts';
import { formatPublish } from '../config/publish.ts';
import { openPublished, type PublishedSocket } from '../engine/publish.ts';
import { errnoName } from '../sys/errno.ts';
import type { Sys } from '../sys/sys.ts';
import type { TcpListeners } from '../translate/tcp-listen.ts';
import type { UdpTranslate } from '../translate/udp.ts';

/** Where rules without an address lead. */
export interface Guests {
  readonly ipv4?: IpAddress | undefined;
  readonly ipv6?: IpAddress | undefined;
}

interface Published {
  readonly interfaceIndex: number;
  readonly rule: PublishConfig;
  readonly sockets: readonly PublishedSocket[];
}

export class PublishedPorts {
  readonly #sys: Sys;
  readonly #tcp: TcpListeners;
  readonly #udp: UdpTranslate;
  readonly #list: Published[] = [];
  /** Sockets of UDP rules that have gone: they may be open still. */
  #retired: PublishedSocket[] = [];

  constructor(sys: Sys, tcp: TcpListeners, udp: UdpTranslate) {
    this.#sys = sys;
    this.#tcp = tcp;
    this.#udp = udp;
  }

  /** Publishes all rules, or none: fails with the code of the first that can't be. */
  add(interfaceIndex: number, rules: readonly PublishConfig[], guests: Guests): Result<void> {
    const added: Published[] = [];
    for (const rule of rules) {
      const opened = this.#addRule(interfaceIndex, rule, guests);
      if (!opened.ok) {
        for (const each of added) this.#close(each);
        return opened;
      }
      added.push(opened.value);
    }
    return success(undefined);
  }

  /** False: there is no such rule. */
  remove(interfaceIndex: number, rule: PublishConfig): boolean {
    const text = formatPublish(rule);
    const found = this.#list.find(
      (each) => each.interfaceIndex === interfaceIndex && formatPublish(each.rule) === text,
    );
    if (found !== undefined) this.#close(found);
    return found !== undefined;
  }

  /** The interface goes: so do all its rules. */
  removeAll(interfaceIndex: number): void {
    for (const each of this.#list.filter((other) => other.interfaceIndex === interfaceIndex)) this.#close(each);
  }

  /** Rules that are published. */
  get count(): number {
    return this.#list.length;
  }

  #addRule(interfaceIndex: number, rule: PublishConfig, guests: Guests): Result<Published> {
    const targets = targetsOf(rule, guests);
    if (!targets.ok) return targets;
    this.#reclaim(rule);
    const { ipv4, ipv6 } = targets.value;
    const opened = openPublished(this.#sys, [rule], { ipv4: ipv4 !== undefined, ipv6: ipv6 !== undefined });
    if (!opened.ok) return opened;
    const taken: PublishedSocket[] = [];
    for (const [index, socket] of opened.value.entries()) {
      const guest = isIpv4(socket.address) ? ipv4! : ipv6!;
      const error = this.#take(socket, interfaceIndex, guest);
      if (error === 0) {
        taken.push(socket);
        continue;
      }
      for (const each of taken) this.#release(each);
      for (const rest of opened.value.slice(index + 1)) this.#sys.close(rest.fd);
      return failure('port-failed', `can't publish ${formatPublish(rule)}: ${errnoName(error)}`);
    }
    const published = { interfaceIndex, rule, sockets: taken };
    this.#list.push(published);
    return success(published);
  }

  /** Hands a socket to the translation. Returns 0, or -errno with the socket closed. */
  #take({ address, fd, guestPort, rule }: PublishedSocket, interfaceIndex: number, to: IpAddress): number {
    const guest = Int32Array.of(to.w0, to.w1, to.w2, to.w3);
    if (rule.protocol === 'udp') {
      return this.#udp.publish({ fd, ipv4: isIpv4(address), interfaceIndex, guest, guestPort });
    }
    const error = this.#tcp.add({ fd, interfaceIndex, guest, guestPort });
    if (error < 0) this.#sys.close(fd);
    return error;
  }

  #close(published: Published): void {
    this.#list.splice(this.#list.indexOf(published), 1);
    for (const socket of published.sockets) this.#release(socket);
  }

  #release(socket: PublishedSocket): void {
    if (socket.rule.protocol === 'tcp') {
      this.#tcp.remove(socket.fd);
      return;
    }
    this.#udp.unpublish(socket.fd);
    // Of an older one with this number the descriptor has been closed.
    this.#retired = this.#retired.filter(({ fd }) => fd !== socket.fd && this.#udp.isRetired(fd));
    if (this.#udp.isRetired(socket.fd)) this.#retired.push(socket);
  }

  /** Ends what is left of rules that have gone, where this one needs their port. */
  #reclaim(rule: PublishConfig): void {
    if (rule.protocol !== 'udp') return;
    for (const { fd, port } of this.#retired) {
      if (port >= rule.firstPort && port <= rule.lastPort) this.#udp.reclaim(fd);
    }
    this.#retired = this.#retired.filter(({ fd }) => this.#udp.isRetired(fd));
  }
}

/** Where callers of each family are led: the family is left out where nobody can be. */
function targetsOf(rule: PublishConfig, guests: Guests): Result<Guests> {
  const { address, toAddress } = rule;
  const to = toAddress === undefined ? guests : isIpv4(toAddress) ? { ipv4: toAddress } : { ipv6: toAddress };
  const isReached = address === undefined ? (to.ipv4 ?? to.ipv6) : isIpv4(address) ? to.ipv4 : to.ipv6;
  return isReached === undefined ? familyMissing(rule) : success(to);
}

function familyMissing(rule: PublishConfig): Result<never> {
  const { address, toAddress } = rule;
  const family = address === undefined ? 'IP' : isIpv4(address) ? 'IPv4' : 'IPv6';
  const why =
    toAddress === undefined
      ? `nobody behind the interface is known to have an ${family} address; say who, as in 8080:10.0.0.2:80`
      : `callers of ${address} can't be led to ${toAddress}, which is of the other family; leave ${address} out`;
  return failure('family-missing', `can't publish ${formatPublish(rule)}: ${why}`);
}
