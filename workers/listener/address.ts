/** How the address of a peer is written. */

/** IPv4 addresses of dual-stack sockets without their IPv6 wrapping. */
export function plainAddress(address: string | undefined): string {
  if (address === undefined) return '';
  return address.startsWith('::ffff:') ? address.slice(7) : address;
}
