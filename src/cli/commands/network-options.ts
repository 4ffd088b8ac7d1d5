/** Options that `tapster run` and `tapster guest` have in common: what network there is, what can be reached, and what is told of it. */
import type { Command, Option } from 'commander';
import { flag, many, one } from '../option.ts';
import { parseGateway, parseHostLoopback, parseInterfaceAddress } from '../parse/address.ts';
import { parseCapturePath, parseFilePath } from '../parse/file-path.ts';
import { parseMac } from '../parse/mac.ts';
import { parseMaxFlows, parseMtu } from '../parse/number.ts';
import type { ValueShape } from '../parse/optional-value.ts';
import { parsePublish } from '../parse/publish.ts';

export function addressOptions(): Option[] {
  return [
    flag('-4, --ipv4-only', 'IPv4 only'),
    flag('-6, --ipv6-only', 'IPv6 only'),
    many('--address <ADDR/LEN>', "address inside; repeatable (the host's own)", parseInterfaceAddress),
    many('--gateway <ADDR>', "default route inside, one per family (the host's own)", parseGateway),
    one('--mac <MAC>', "the interface's MAC address", parseMac),
    one('--mtu <BYTES>', "the interface's MTU (65520)", parseMtu),
  ];
}

/** `whom`: who is called at published ports. */
export function reachabilityOptions(whom: string = 'the command'): Option[] {
  return [
    many(
      '-p, --publish <SPEC>',
      `lead a port of the host to ${whom}; repeatable. SPEC: [ADDR:]PORT[-PORT][:TOPORT][/tcp|/udp]; PORT 0: the kernel's choice, printed`,
      parsePublish,
    ),
    one(
      '--host-loopback [ADDR]',
      "let the host's own 127.0.0.1 and ::1 be reached at ADDR (the gateway) and as host.tapster.internal",
      parseHostLoopback,
    ),
    flag('--allow-metadata', 'let 169.254.169.254 and fd00:ec2::254 be reached'),
    flag('--no-tcp', 'refuse TCP'),
    flag('--no-udp', 'refuse UDP, save DNS that Tapster forwards'),
    flag('--no-icmp', 'refuse ICMP and ICMPv6 echo'),
    one('--max-flows <COUNT>', 'flows open at one time (65536)', parseMaxFlows),
  ];
}

export function reportOptions(): Option[] {
  return [
    flag('--summary', 'at the end, a table of flows by name, protocol and port'),
    one(
      '--flows <FILE>',
      'JSON lines, one when a flow opens and one when it closes; "-": standard output',
      parseFilePath,
    ),
    one('--pcap <FILE>', 'capture the interface as pcapng, with names and comments per flow', parseCapturePath),
    flag('-v, --verbose', 'log each flow as it opens and closes'),
    flag('-q, --quiet', 'say nothing but errors'),
  ];
}

/** How the options of `command` take values, by each of their names, for `attachOptionalValues`. */
export function valueShapes(command: Command): Map<string, ValueShape> {
  const shapes = new Map<string, ValueShape>();
  for (const option of command.options) {
    const shape: ValueShape = option.optional
      ? { kind: 'optional', without: 'gateway', accepts: looksLikeAddress }
      : { kind: option.required ? 'required' : 'none' };
    for (const name of [option.short, option.long]) {
      if (name !== undefined) shapes.set(name, shape);
    }
  }
  return shapes;
}

/** A word that is an address, even one that won't do here, is no command: it is to be judged as the value. */
function looksLikeAddress(text: string): boolean {
  return text === 'gateway' || /^\d+(\.\d+){3}$/.test(text) || /^[0-9a-f:.]*:[0-9a-f:.]*$/i.test(text);
}
