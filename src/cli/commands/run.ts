/** `tapster run`: its options. What it does is in `run-command.ts`, which is loaded when it is asked for. */
import { Command, Option } from 'commander';
import { flag, many, one } from '../option.ts';
import { parseDnsAddress } from '../parse/address.ts';
import { parseInterfaceName } from '../parse/interface-name.ts';
import { type RunFlags, toRunOptions } from '../run-options.ts';
import { addressOptions, reachabilityOptions, reportOptions } from './network-options.ts';

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
    ...addressOptions(),
    flag('--no-config', 'leave the interface to a DHCP client or router advertisements inside'),
  ];
}

function nameOptions(): Option[] {
  return [
    many('--dns <ADDR>', "DNS server to ask; repeatable (forward to the host's)", parseDnsAddress),
    flag('--no-dns', 'leave /etc/resolv.conf alone'),
  ];
}

function otherOptions(): Option[] {
  return [
    flag('--root', 'be root inside (your own user id stays yours otherwise)'),
    flag('--no-sandbox', "leave Tapster's own process all its rights, for debugging"),
  ];
}
