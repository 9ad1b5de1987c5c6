/** Messages that this thread has handed to endpoint workers of the same node for their subscribers. */

/** One per thread: only grows. */
export const crossing: { messages: number } = { messages: 0 };
