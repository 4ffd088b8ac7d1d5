/**
 * The words of a flow's key: 0 protocol | interface << 8; 1-4 guest address; 5-8 remote address; 9 guest port << 16 | remote port.
 * For ICMP echo the identifier stands in place of the guest's port and the remote port is 0.
 */
export const KEY_WORDS = 10;
export const KEY_PROTOCOL = 0;
export const KEY_GUEST = 1;
export const KEY_REMOTE = 5;
export const KEY_PORTS = 9;
