/** Messages that this thread has handed to endpoint workers of the same node, because a subscriber is there. */

/** One per thread: only grows. */
export const crossing: { messages: number } = { messages: 0 };
