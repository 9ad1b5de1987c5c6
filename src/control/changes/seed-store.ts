/** The first start: an empty store takes the endpoints of the configuration file. */

import type { Endpoint } from '../../endpoint/endpoint.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { ChangeMeta } from '../../storage/endpoint-store.ts';
import type { DesiredState } from '../state/desired-state.ts';
import { driftOf } from './file-drift.ts';

export interface SeedOptions {
  desired: DesiredState;
  node: string;
  logger: Logger;
}

/** Most endpoints that one log line names. */
const NAMES_MAX = 8;
const APPLY_ADVICE = 'To bring the store to the state of the file: ./fluxmq apply FILE (--dry-run only shows the changes)';

/**
 * Writes the endpoints of the configuration file into an empty store. For any other store it warns that the file is ignored.
 * @param areGiven false: these are the built-in endpoints, whose absence deserves no warning
 * @throws FluxError `unavailable`
 */
export async function seedStore({ desired, node, logger }: SeedOptions, endpoints: Endpoint[], areGiven: boolean): Promise<number> {
  if (desired.revision > 0) {
    if (areGiven) warnOfDrift(desired, logger, endpoints);
    return 0;
  }
  if (endpoints.length === 0) return 0;
  const meta: ChangeMeta = { action: 'seed', actor: 'system', source: 'file', node, requestId: 'start', reason: 'first start' };
  await desired.commit(
    endpoints.map((endpoint) => ({ kind: 'put', endpoint })),
    meta,
  );
  logger.info('the endpoints of the configuration file were written to the empty store', { endpoints: endpoints.length });
  return endpoints.length;
}

function warnOfDrift(desired: DesiredState, logger: Logger, endpoints: Endpoint[]): void {
  const { ignored, added } = driftOf(
    endpoints,
    desired.list().map(({ endpoint }) => endpoint),
  );
  const more = added.length > NAMES_MAX ? ` and ${added.length - NAMES_MAX} more` : '';
  const others = added.length === 0 ? {} : { inTheStoreAlone: `${added.slice(0, NAMES_MAX).join(', ')}${more}` };
  if (ignored.length === 0) {
    if (added.length > 0) logger.info('the store wins: it has endpoints that the configuration file does not name', others);
    return;
  }
  const named = `${ignored.slice(0, NAMES_MAX).join('; ')}${ignored.length > NAMES_MAX ? `; and ${ignored.length - NAMES_MAX} more` : ''}`;
  logger.warn(`endpoints of the configuration file are ignored, because the store wins: ${named}. ${APPLY_ADVICE}`, others);
}
