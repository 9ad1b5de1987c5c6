/** The life of an endpoint change on this node: parse, plan, bind, commit, activate, drain, answer (DESIGN.md section 3). */

import { diffEndpoints, hardestEffect } from '../../endpoint/effects.ts';
import type { Endpoint, KeyChange } from '../../endpoint/endpoint.ts';
import { mergeEndpoint, type ParsedEndpoint, parseEndpoint } from '../../endpoint/schema.ts';
import { FluxError, toWireError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { ChangeMeta, StoreChange, StoredEndpoint } from '../../storage/contract.ts';
import type { ChangeAnswer, NodeOutcome, RequestContext } from '../contract.ts';
import { Deadline } from '../deadline.ts';
import { type ChangeOptions, readAdd, readTarget, readUpdate } from './change-request.ts';
import type { Desired } from './desired.ts';
import type { Driver, Prepared } from './driver.ts';
import type { EndpointRunner } from './endpoint-runner.ts';
import type { Runners } from './runners.ts';

export interface ManagerOptions {
  desired: Desired;
  runners: Runners;
  driver: Driver;
  node: string;
  logger: Logger;
}

/** A change that is understood and allowed, with the locks held. */
interface Change {
  action: ChangeMeta['action'];
  before: StoredEndpoint | null;
  after: Endpoint;
  changes: KeyChange[];
  warnings: string[];
  options: ChangeOptions;
  context: RequestContext;
  deadline: Deadline;
}

export class EndpointManager {
  readonly #options: ManagerOptions;

  constructor(options: ManagerOptions) {
    this.#options = options;
  }

  /** Starts everything that the store wants, side by side. Failures are kept by the runners; resolves when each was tried once. */
  async startAll(deadline: Deadline): Promise<void> {
    const { desired, driver } = this.#options;
    const enabled = desired.list().filter(({ endpoint }) => endpoint.enabled);
    await Promise.all(enabled.map((stored) => driver.start(stored, deadline)));
  }

  /** Writes the endpoints of the configuration file into an empty store. @throws FluxError `unavailable` */
  async seed(endpoints: Endpoint[]): Promise<number> {
    const { desired, node, logger } = this.#options;
    if (desired.revision > 0 || endpoints.length === 0) {
      if (endpoints.length > 0)
        logger.info('the store wins: its endpoints are used, not the configured ones', { stored: desired.list().length });
      return 0;
    }
    const meta: ChangeMeta = { action: 'seed', actor: 'system', source: 'file', node, requestId: 'start', reason: 'first start' };
    await desired.commit(
      endpoints.map((endpoint) => ({ kind: 'put', endpoint })),
      meta,
    );
    logger.info('the endpoints of the configuration file were written to the empty store', { endpoints: endpoints.length });
    return endpoints.length;
  }

  /** @throws FluxError as Control.add */
  async add(body: unknown, context: RequestContext): Promise<ChangeAnswer> {
    const { desired } = this.#options;
    const { options, input } = readAdd(body);
    const parsed = parseEndpoint(input);
    if (context.expectedRevision !== null && context.expectedRevision !== desired.revision) {
      throw new FluxError('revision-mismatch', `revision ${context.expectedRevision} is not the current one, ${desired.revision}`);
    }
    desired.ensureFree(parsed.endpoint, null);
    return this.#change('add', null, parsed, options, context);
  }

  /** @throws FluxError as Control.update */
  async update(body: unknown, context: RequestContext): Promise<ChangeAnswer> {
    const { options, key, patch } = readUpdate(body);
    const before = this.#options.desired.find(key);
    return this.#change('update', before, mergeEndpoint(before.endpoint, patch), options, context);
  }

  /** @throws FluxError as Control.setEnabled */
  async setEnabled(enabled: boolean, body: unknown, context: RequestContext): Promise<ChangeAnswer> {
    const { options, key } = readTarget(body);
    const before = this.#options.desired.find(key);
    const parsed = { endpoint: { ...before.endpoint, enabled }, warnings: [] };
    return this.#change(enabled ? 'enable' : 'disable', before, parsed, options, context);
  }

  /** @throws FluxError as Control.remove */
  async remove(body: unknown, context: RequestContext): Promise<ChangeAnswer> {
    const { desired, driver, logger } = this.#options;
    const { options, key } = readTarget(body);
    const { endpoint } = desired.find(key);
    return desired.exclusively([endpoint.id, `port ${endpoint.port}`], async () => {
      const before = desired.find({ id: endpoint.id });
      desired.ensureRevision(before, context.expectedRevision);
      guardDefault(before.endpoint, options, 'removed');
      const deadline = new Deadline(context.timeoutMs);
      const prepared = await driver.prepare(endpoint.id, null, desired.revision + 1, deadline);
      const revision = await desired.commit([{ kind: 'remove', id: endpoint.id }], this.#meta('remove', options, context));
      await driver.activate(prepared, revision, options.drainMs, deadline);
      logger.info(`Endpoint ${endpoint.port} was removed`, { endpoint: endpoint.id, revision, actor: context.actor });
      return { endpoint: before.endpoint, revision, nodes: [this.#outcome('applied')], warnings: [] };
    });
  }

  async #change(
    action: ChangeMeta['action'],
    before: StoredEndpoint | null,
    { endpoint: after, warnings }: ParsedEndpoint,
    options: ChangeOptions,
    context: RequestContext,
  ): Promise<ChangeAnswer> {
    const { desired } = this.#options;
    const changes = before === null ? [] : diffEndpoints(before.endpoint, after);
    if (before !== null) desired.ensureRevision(before, context.expectedRevision);
    const fixed = changes.filter((change) => change.effect === 'fixed');
    if (fixed.length > 0) {
      const issues = fixed.map(({ path }) => ({ path, message: 'cannot be changed' }));
      throw new FluxError('invalid', `${fixed.map(({ path }) => path).join(', ')} cannot be changed`, { issues });
    }
    if (before?.endpoint.enabled === true && !after.enabled) guardDefault(before.endpoint, options, 'disabled');
    desired.ensureFree(after, before?.endpoint.id ?? null);
    const change: Change = { action, before, after, changes, warnings, options, context, deadline: new Deadline(context.timeoutMs) };
    const keys = new Set([after.id, `port ${after.port}`, `port ${before?.endpoint.port ?? after.port}`]);
    const other = this.#otherDefault(before, after);
    if (other !== null) keys.add(other.endpoint.id);
    return desired.exclusively([...keys], () => this.#apply(change, other));
  }

  /** Each step undoes the ones before it when it fails; after the commit nothing is undone, but repaired. */
  async #apply(change: Change, otherDefault: StoredEndpoint | null): Promise<ChangeAnswer> {
    const { desired, runners, driver, logger } = this.#options;
    const { before, after, changes, warnings, context, deadline } = change;
    if (before !== null && changes.length === 0) {
      return { endpoint: after, revision: before.revision, effect: 'none', nodes: [this.#current(runners.of(after.id))], warnings };
    }
    const prepared = await driver.prepare(after.id, after, desired.revision + 1, deadline);
    let revision: number;
    try {
      deadline.check(`the change of endpoint ${after.id}`);
      revision = await desired.commit(this.#storeChanges(after, otherDefault), this.#meta(change.action, change.options, context));
    } catch (error) {
      await driver.discard(prepared, new Deadline(context.timeoutMs));
      throw error;
    }
    const outcome = await this.#activate(change, prepared, revision);
    if (otherDefault !== null) await this.#tellOther(otherDefault.endpoint.id, deadline);
    const effect = before === null ? {} : { effect: hardestEffect(changes) };
    logger.info(`Endpoint ${after.port}: ${change.action}`, { endpoint: after.id, revision, actor: context.actor, ...effect });
    return { endpoint: after, revision, ...effect, nodes: [outcome], warnings };
  }

  async #activate({ after, options, deadline }: Change, prepared: Prepared, revision: number): Promise<NodeOutcome> {
    try {
      await this.#options.driver.activate(prepared, revision, options.drainMs, deadline);
      return this.#outcome('applied');
    } catch (error) {
      const { message } = toWireError(error);
      this.#options.logger.error(`Endpoint ${after.port} is stored but not yet applied: ${message}`, { endpoint: after.id, revision });
      return { ...this.#outcome('pending'), reason: message };
    }
  }

  /** The other endpoint lost its isDefault; its clients notice nothing. */
  async #tellOther(id: string, deadline: Deadline): Promise<void> {
    const { desired, driver } = this.#options;
    const stored = desired.byId(id);
    if (stored === undefined) return;
    try {
      const prepared = await driver.prepare(id, stored.endpoint, stored.revision, deadline);
      await driver.activate(prepared, stored.revision, 0, deadline);
    } catch (error) {
      this.#options.logger.warn(`Endpoint ${stored.endpoint.port} was not told that it is no longer the default`, {
        reason: toWireError(error).message,
      });
    }
  }

  #otherDefault(before: StoredEndpoint | null, after: Endpoint): StoredEndpoint | null {
    if (!after.isDefault || before?.endpoint.isDefault === true) return null;
    return this.#options.desired.list().find(({ endpoint }) => endpoint.isDefault && endpoint.id !== after.id) ?? null;
  }

  #storeChanges(after: Endpoint, otherDefault: StoredEndpoint | null): StoreChange[] {
    const changes: StoreChange[] = [{ kind: 'put', endpoint: after }];
    if (otherDefault !== null) changes.push({ kind: 'put', endpoint: { ...otherDefault.endpoint, isDefault: false } });
    return changes;
  }

  #meta(action: ChangeMeta['action'], options: ChangeOptions, context: RequestContext): ChangeMeta {
    const { actor, source, requestId } = context;
    return { action, actor, source, node: this.#options.node, requestId, reason: options.reason ?? context.reason };
  }

  /** Nothing was to be done: what the endpoint is like is the outcome. */
  #current(runner: EndpointRunner): NodeOutcome {
    if (runner.state === 'failed') return { ...this.#outcome('failed'), reason: runner.lastError };
    return this.#outcome(runner.state === 'starting' ? 'pending' : 'applied');
  }

  #outcome(state: NodeOutcome['state']): NodeOutcome {
    return { node: this.#options.node, state, reason: null };
  }
}

function guardDefault(endpoint: Endpoint, options: ChangeOptions, what: string): void {
  if (endpoint.isDefault && !options.force) {
    throw new FluxError('default-endpoint', `endpoint ${endpoint.id} is the default endpoint: it is not ${what} without force: true`);
  }
}
