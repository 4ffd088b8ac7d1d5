/** `tapster guest`: its options. What it does is in `guest-command.ts`, which is loaded when it is asked for. */
import { Command, Option } from 'commander';
import { VHOST_USER_PAIRS_MAX } from '../../base/limits.ts';
import { type GuestFlags, toGuestOptions } from '../guest-options.ts';
import { flag, many, one } from '../option.ts';
import { parseDnsAddress } from '../parse/address.ts';
import { parseDescriptor } from '../parse/descriptor.ts';
import { parseFilePath } from '../parse/file-path.ts';
import { parseQueues } from '../parse/number.ts';
import { addressOptions, reachabilityOptions, reportOptions } from './network-options.ts';

const DESCRIPTION =
  "Gives virtual machines a network: listens at a socket that QEMU's network device is plugged into, and serves guest after guest, whose packets become " +
  "this user's own sockets. With a command, starts it with the arguments for QEMU behind its own, and ends with it.";

const EXAMPLES = `
Examples:
  tapster guest                       prints what to give QEMU
  tapster guest -p 2222:22            ssh -p 2222 localhost reaches the guest
  tapster guest -- qemu-system-x86_64 -m 1G disk.img
  tapster guest --vhost-user -- qemu-system-x86_64 -m 1G disk.img

The exit status is the command's; without one 128 + the signal that ended it, or
0 with --one-off; 125 when Tapster failed.`;

export function makeGuestCommand(finish: (status: number) => void): Command {
  const command = new Command('guest')
    .summary('give virtual machines a network')
    .description(DESCRIPTION)
    .usage('[options] [--] [COMMAND [ARG...]]')
    .argument('[command...]', 'QEMU and its arguments, or what starts it')
    .passThroughOptions()
    .addHelpText('after', EXAMPLES)
    .action(async (words: string[], flags: GuestFlags) => {
      const options = toGuestOptions(words, flags);
      const { guestCommand } = await import('../guest-command.ts');
      finish(await guestCommand(options));
    });
  for (const [group, options] of groups()) {
    for (const option of options) command.addOption(option.helpGroup(`${group}:`));
  }
  return command.addHelpOption(new Option('-h, --help', 'show this help').helpGroup('Other:'));
}

function groups(): [string, Option[]][] {
  return [
    ['Socket', socketOptions()],
    ['Interface', addressOptions()],
    ['Names', [many('--dns <ADDR>', "DNS server to tell of; repeatable (forward to the host's)", parseDnsAddress)]],
    ['Reachability', reachabilityOptions('the guest')],
    ['What happened', reportOptions()],
    ['Other', [flag('--no-sandbox', "leave Tapster's own process all its rights, for debugging")]],
  ];
}

function socketOptions(): Option[] {
  return [
    one(
      '--socket <PATH>',
      'where to listen (the first free tapster/guest-N.sock in /run or $XDG_RUNTIME_DIR)',
      parseFilePath,
    ),
    one('--connect <PATH>', 'where QEMU listens, to connect to instead; ends with it', parseFilePath),
    one('--fd <NUMBER>', 'a connected socket, stream or datagram, to use instead; ends with it', parseDescriptor),
    flag('--dgram', "a datagram for each frame instead of QEMU's stream: either side may end and come back"),
    flag('--vhost-user', "vhost-user instead of QEMU's stream: queues in the machine's shared memory"),
    one('--queues <NUMBER>', `pairs of queues of vhost-user, 1 to ${VHOST_USER_PAIRS_MAX} (1)`, parseQueues),
    new Option('--rx-mode <MODE>', 'how to wait for frames; polling takes a processor (adaptive)').choices([
      'polling',
      'interrupt',
      'adaptive',
    ]),
    flag('-1, --one-off', 'end when the first guest has gone'),
  ];
}
