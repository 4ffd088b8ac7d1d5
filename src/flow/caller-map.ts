/** Under which address the guest sees someone who calls a published port. */
export interface CallerMap {
  /**
   * Rewrites the caller's socket address (`SOCKET_ADDRESS_WORDS`), in place, where the guest can't be shown it as it is: the host's loopback, the guest's own
   * address, and link-local addresses become an address of ours. The guest that is called has the four words at `guestAt` of `guest`.
   */
  map(address: Int32Array, interfaceIndex: number, guest: Int32Array, guestAt: number): void;
}
