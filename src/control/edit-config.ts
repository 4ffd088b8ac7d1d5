/**
 * Single changes of a configuration, on the document: plain JSON as `writeConfig` gives it. Each gives a new document, or says what is not there to be changed,
 * or is there already. What the document means is judged by whoever applies it.
 */
import { formatIpAddress, formatIpPrefix, parseIpAddress, parseIpPrefix } from '../base/address.ts';
import { failure, type Result, success } from '../base/result.ts';

type Json = Readonly<Record<string, unknown>>;

/** Takes the whole document, gives the next one. */
export type Edit = (document: Json) => Result<Json>;

export function createPort(name: string, value: Json): Edit {
  return (document) => {
    const path = portPath(name);
    const holder = at(document, path.slice(0, -1));
    if (path.length > 2 && at(document, path.slice(0, 2)) === undefined) {
      return failure(`${kindOf(path[0]!)}-unknown`, `${name} can not be: there is no ${kindOf(path[0]!)} ${path[1]}`);
    }
    if (holder !== undefined && Object.hasOwn(holder, path.at(-1)!)) {
      return failure('interface-exists', `there is an interface ${name} already: change it, or choose another name`);
    }
    return success(withValue(document, path, value));
  };
}

export function changePort(name: string, patch: Json): Edit {
  return changeAt(portPath(name), patch, () => interfaceUnknown(name));
}

export function deletePort(name: string): Edit {
  return deleteAt(portPath(name), () => interfaceUnknown(name));
}

/** An interface, sub-interface or BVI as it stands in the document. */
export function portIn(document: Json, name: string): Json | undefined {
  return at(document, portPath(name));
}

export function createBridge(name: string, value: Json): Edit {
  return (document) => {
    if (at(document, ['bridges', name]) === undefined) return success(withValue(document, ['bridges', name], value));
    return failure('bridge-exists', `there is a bridge ${name} already: change it, or choose another name`);
  };
}

export function changeBridge(name: string, patch: Json): Edit {
  return changeAt(['bridges', name], patch, () => bridgeUnknown(name));
}

export function deleteBridge(name: string): Edit {
  return deleteAt(['bridges', name], () => bridgeUnknown(name));
}

export function addRoute(route: Json & { readonly to: string }): Edit {
  return (document) => {
    const routes = listIn(document, 'routes');
    const to = sameNetwork(route.to);
    if (routes.some((each) => each['to'] === to)) {
      return failure(
        'route-exists',
        `there is a route to ${to} already: delete it first, or give all its hops at once`,
      );
    }
    return success({ ...document, routes: [...routes, route] });
  };
}

export function deleteRoute(to: string): Edit {
  return (document) => {
    const routes = listIn(document, 'routes');
    const left = routes.filter((each) => each['to'] !== sameNetwork(to));
    if (left.length < routes.length) return success({ ...document, routes: left });
    return failure('route-unknown', `no route to ${to} is configured; those to our own networks go with the address`);
  };
}

export function addNeighbour(neighbour: Json & { readonly interface: string; readonly address: string }): Edit {
  return (document) => {
    const neighbours = listIn(document, 'neighbours');
    if (neighbours.some((each) => isNeighbour(each, neighbour.interface, neighbour.address))) {
      const { address, interface: on } = neighbour;
      return failure('neighbour-exists', `the MAC address of ${address} on ${on} is given already: delete it first`);
    }
    return success({ ...document, neighbours: [...neighbours, neighbour] });
  };
}

export function deleteNeighbour(on: string, address: string): Edit {
  return (document) => {
    const neighbours = listIn(document, 'neighbours');
    const left = neighbours.filter((each) => !isNeighbour(each, on, address));
    if (left.length < neighbours.length) return success({ ...document, neighbours: left });
    return failure('neighbour-unknown', `no MAC address is configured for ${address} on ${on}`);
  };
}

export function setUplink(value: Json): Edit {
  return (document) => success({ ...document, uplink: value });
}

export function deleteUplink(): Edit {
  return ({ uplink, ...rest }) =>
    uplink === undefined ? failure('uplink-unknown', 'there is no uplink') : success(rest);
}

/** RFC 7396: objects are merged, null takes away, everything else replaces. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const entries = new Map(Object.entries(isObject(target) ? target : {}));
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) entries.delete(key);
    else entries.set(key, mergePatch(entries.get(key), value));
  }
  return Object.fromEntries(entries);
}

/** `tap0`, the sub-interface `tap0.100`, `bvi.lan`. Numbers alone are VLANs: no bridge is named so. */
function portPath(name: string): readonly string[] {
  const dot = name.indexOf('.');
  if (dot < 0) return ['interfaces', name];
  const [first, rest] = [name.slice(0, dot), name.slice(dot + 1)];
  return first === 'bvi' && !/^\d+$/.test(rest) ? ['bridges', rest, 'bvi'] : ['interfaces', first, 'vlans', rest];
}

function kindOf(section: string): string {
  return section === 'bridges' ? 'bridge' : 'interface';
}

function interfaceUnknown(name: string): Result<never> {
  return failure('interface-unknown', `there is no interface ${name}`);
}

function bridgeUnknown(name: string): Result<never> {
  return failure('bridge-unknown', `there is no bridge ${name}`);
}

function changeAt(path: readonly string[], patch: Json, unknown: () => Result<never>): Edit {
  return (document) => {
    const present = at(document, path);
    return present === undefined ? unknown() : success(withValue(document, path, mergePatch(present, patch)));
  };
}

function deleteAt(path: readonly string[], unknown: () => Result<never>): Edit {
  return (document) => {
    if (at(document, path) === undefined) return unknown();
    return success(withValue(document, path, undefined));
  };
}

/** Only of what the document itself has: a name may be `constructor`. */
function at(document: Json, path: readonly string[]): Json | undefined {
  let value: unknown = document;
  for (const key of path) value = isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;
  return isObject(value) ? value : undefined;
}

/** Objects along the path are new; the rest is shared. Undefined takes away. */
function withValue(document: Json, [key = '', ...path]: readonly string[], value: unknown): Json {
  const entries = new Map(Object.entries(document));
  const inner = path.length === 0 ? value : withValue(at(document, [key]) ?? {}, path, value);
  if (inner === undefined) entries.delete(key);
  else entries.set(key, inner);
  return Object.fromEntries(entries);
}

function listIn(document: Json, key: string): readonly Json[] {
  const value = document[key];
  return Array.isArray(value) ? (value as Json[]) : [];
}

function isNeighbour(each: Json, on: string, address: string): boolean {
  const parsed = parseIpAddress(address);
  return each['interface'] === on && each['address'] === (parsed === undefined ? address : formatIpAddress(parsed));
}

/** As the document writes it, so that `fd00:0::/64` is found; what is no network is compared as it is. */
function sameNetwork(to: string): string {
  const prefix = parseIpPrefix(to);
  return prefix === undefined ? to : formatIpPrefix(prefix);
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
