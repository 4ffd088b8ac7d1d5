/**
 * Names of network interfaces, as the kernel takes them (dev_valid_name() in net/core/dev.c): 1 to 15 bytes, without slash, colon and white space,
 * not `.` or `..`. A percent sign would make the name a pattern (`eth%d`), and `lo` is there already.
 */
import { INTERFACE_NAME_BYTES_MAX } from '../../base/limits.ts';
import { type Parsed, parsed, wrong } from './parsed.ts';

const RIGHT = `Use 1 to ${INTERFACE_NAME_BYTES_MAX} bytes without "/", ":", "%" and white space, for example eth0.`;

export function parseInterfaceName(text: string): Parsed<string> {
  const bytes = new TextEncoder().encode(text).length;
  if (bytes === 0) return wrong('empty', RIGHT);
  if (bytes > INTERFACE_NAME_BYTES_MAX)
    return wrong(`${bytes} bytes long, the kernel takes ${INTERFACE_NAME_BYTES_MAX}`, RIGHT);
  const forbidden = /[/:%\s]|\p{Cc}/u.exec(text);
  if (forbidden !== null) return wrong(`${JSON.stringify(forbidden[0])} can't be part of an interface's name`, RIGHT);
  if (text === '.' || text === '..') return wrong('the kernel keeps this name for directories', RIGHT);
  if (text === 'lo') return wrong('this is the loopback interface', RIGHT);
  return parsed(text);
}
