/** `tapster run`: its options. What it does is in `run-command.ts`, which is loaded when it is asked for. */
import { Command, Option } from 'commander';
import { flag, many, one } from '../option.ts';
import { parseDnsAddress, parseGateway, parseHostLoopback, parseInterfaceAddress } from '../parse/address.ts';
import { parseCapturePath, parseFilePath } from '../parse/file-path.ts';
import { parseInterfaceName } from '../parse/interface-name.ts';
import { parseMac } from '../parse/mac.ts';
import { parseMaxFlows, parseMtu } from '../parse/number.ts';
import type { ValueShape } from '../parse/optional-value.ts';
import { parsePublish } from '../parse/publish.ts';
import { type RunFlags, toRunOptions } from '../run-options.ts';

const DESCRIPTION =
  "Runs a command in a network namespace of its own, whose packets become this user's own sockets. Without a command: " +
  "$SHELL. Options behind the command are the command's.";

const EXAMPLES = `
Examples:
  tapster run -- curl -s https://example.org/
  tapster run --summary -p 8080:80 -- npm install
  tapster run --host-loopback -- curl http://host.tapster.internal:3000/
  tapster run --flows /dev/stderr -- dig example.org
  tapster run                         a shell

The exit status is the command's (128 + signal when it was killed); 125 when
Tapster failed, 126 when the command can't be executed, 127 when there is none.`;

export function makeRunCommand(finish: (status: number) => void): Command {
  const command = new Command('run')
    .summary('run a command in a network of its own')
    .description(DESCRIPTION)
    .usage('[options] [--] [COMMAND [ARG...]]')
    .argument('[command...]', 'the program and its arguments')
    .passThroughOptions()
    .addHelpText('after', EXAMPLES)
    .action(async (words: string[], flags: RunFlags) => {
      const options = toRunOptions(words, flags);
      const { runCommand } = await import('../run-command.ts');
      finish(await runCommand(options));
    });
  for (const [group, options] of groups()) {
    for (const option of options) command.addOption(option.helpGroup(`${group}:`));
  }
  return command.addHelpOption(new Option('-h, --help', 'show this help').helpGroup('Other:'));
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

function groups(): [string, Option[]][] {
  return [
    ['Interface', interfaceOptions()],
    ['Names', nameOptions()],
    ['Reachability', reachabilityOptions()],
    ['What happened', reportOptions()],
    ['Other', otherOptions()],
  ];
}

function interfaceOptions(): Option[] {
  return [
    one('--ifname <NAME>', "the interface's name inside (eth0)", parseInterfaceName),
    flag('-4, --ipv4-only', 'IPv4 only'),
    flag('-6, --ipv6-only', 'IPv6 only'),
    many('--address <ADDR/LEN>', "address inside; repeatable (the host's own)", parseInterfaceAddress),
    many('--gateway <ADDR>', "default route inside, one per family (the host's own)", parseGateway),
    one('--mac <MAC>', "the interface's MAC address", parseMac),
    one('--mtu <BYTES>', "the interface's MTU (65520)", parseMtu),
    flag('--no-config', 'leave the interface to a DHCP client or router advertisements inside'),
  ];
}

function nameOptions(): Option[] {
  return [
    many('--dns <ADDR>', "DNS server to ask; repeatable (forward to the host's)", parseDnsAddress),
    flag('--no-dns', 'leave /etc/resolv.conf alone'),
  ];
}

function reachabilityOptions(): Option[] {
  return [
    many(
      '-p, --publish <SPEC>',
      "lead a port of the host to the command; repeatable. SPEC: [ADDR:]PORT[-PORT][:TOPORT][/tcp|/udp]; PORT 0: the kernel's choice, printed",
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

function otherOptions(): Option[] {
  return [
    flag('--root', 'be root inside (your own user id stays yours otherwise)'),
    flag('--no-sandbox', "leave Tapster's own process all its rights, for debugging"),
  ];
}

function reportOptions(): Option[] {
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
