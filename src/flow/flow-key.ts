/**
 * The words of a flow's key: 0 protocol | interface << 8; 1-4 guest address; 5-8 remote address; 9 guest port << 16 | remote port.
 * For ICMP echo the identifier stands in place of the guest's port and the remote port is 0.
 */
export const KEY_WORDS = 10;
export const KEY = { PROTOCOL: 0, GUEST: 1, REMOTE: 5, PORTS: 9 } as const;
