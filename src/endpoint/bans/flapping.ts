/** Clients that connect again and again: when they are banned, and what the ban says. Pure. */

/** Limits of the node's configuration (docs/bans.md#flapping). */
export interface FlappingLimits {
  /** connects of one client, 2..10000 */
  connects: number;
  /** of this many seconds, 1..86400 */
  seconds: number;
  /** length of the ban, seconds, 1..31536000 */
  banSeconds: number;
}

export const FLAPPING_DEFAULTS: FlappingLimits = { connects: 15, seconds: 60, banSeconds: 300 };

/** What a ban names as its author. */
export const FLAPPING_AUTHOR = 'flapping';

export function flappingReason({ connects, seconds }: FlappingLimits): string {
  return `flapping: more than ${connects} connects in ${seconds} s`;
}

/** Milliseconds after which one of the connects is forgotten. */
export function forgottenEveryMs({ connects, seconds }: FlappingLimits): number {
  return Math.max(1, Math.ceil((seconds * 1000) / connects));
}
