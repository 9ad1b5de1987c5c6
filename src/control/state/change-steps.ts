/** The named steps of a change, published on a diagnostics channel for observers of this process. Observers are optional. */

import { channel } from 'node:diagnostics_channel';

/**
 * Steps in order. `validated`, `bound` and `activated` come once for each endpoint of the change. `storing` and `stored` enclose the
 * transaction of the store. `announced` is last, just before the answer. An endpoint that only loses isDefault to another follows `stored`.
 */
export type ChangeStep = 'validated' | 'bound' | 'storing' | 'stored' | 'activated' | 'announced';

const steps = channel('fluxmq:change');

/** Reports that a change has reached a step. Subscribers are called synchronously, before the change continues. */
export function reachStep(step: ChangeStep): void {
  if (steps.hasSubscribers) steps.publish(step);
}
