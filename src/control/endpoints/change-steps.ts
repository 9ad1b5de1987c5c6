/** The named steps of a change, published on a diagnostics channel for whoever watches this process; nobody has to. */

import { channel } from 'node:diagnostics_channel';

/**
 * In this order, `validated`, `bound` and `activated` once for each endpoint that a change concerns. `storing` and `stored` enclose the
 * store's transaction; `announced` comes last, just before the answer. An endpoint that only loses isDefault to another one comes behind `stored`.
 */
export type ChangeStep = 'validated' | 'bound' | 'storing' | 'stored' | 'activated' | 'announced';

const steps = channel('fluxmq:change');

/** Says that a change got so far. Subscribers are called at once, before anything else happens. */
export function reachStep(step: ChangeStep): void {
  if (steps.hasSubscribers) steps.publish(step);
}
