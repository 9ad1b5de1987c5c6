/** Limits of the registry. */

/** Claims that may wait for one identifier. More connections at once with one name are an attack or a loop. */
export const WAITING_MAX = 64;

/** A step takes milliseconds. A step that takes longer than this has lost an answer. */
export const STEP_DEADLINE_MS = 8_000;

/** Subscriptions and messages of a large session that add a millisecond to the deadline. */
export const MOVED_PER_MS = 10;

/** Number of a move: the session worker that orders it, then a count. */
export const MOVES_PER_PEER = 2 ** 32;
