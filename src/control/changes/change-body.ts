/** Splits the body of a change into its options and its endpoint, strictly. */

import { Problems } from '../../endpoint/problems.ts';
import { parseEndpoint } from '../../endpoint/schema.ts';
import { FluxError } from '../../kernel/errors.ts';
import { DRAIN_MS_MAX, DRAIN_RATE_MAX, type DrainRequest, type EndpointKey, SERVER_REFERENCE_MAX } from '../contract/request-parts.ts';

/** Options of a change. */
export interface ChangeOptions extends DrainRequest {
  force: boolean;
  reason: string | null;
}

/** The actions of a request about one endpoint. */
export type SingleAction = 'add' | 'update' | 'remove' | 'enable' | 'disable';

const REASON_CHARACTERS_MAX = 1000;

class BodyReader {
  readonly problems = new Problems();
  readonly #rest: Record<string, unknown>;

  constructor(body: unknown) {
    if (typeof body !== 'object' || body === null || Array.isArray(body)) {
      throw new FluxError('invalid', 'the body must be a JSON object', { issues: [{ path: '', message: 'must be an object' }] });
    }
    this.#rest = { ...body };
  }

  /** Removes a key and returns its value if `isValid`, else adds a problem; undefined when the key is absent. */
  take<T>(key: string, isValid: (value: unknown) => value is T, expected: string): T | undefined {
    if (!Object.hasOwn(this.#rest, key)) return undefined;
    const value = this.#rest[key];
    delete this.#rest[key];
    if (isValid(value)) return value;
    this.problems.add(key, `must be ${expected}`);
    return undefined;
  }

  options(): ChangeOptions {
    const drainMs = this.take('drainMs', isIntegerIn(0, DRAIN_MS_MAX), `an integer from 0 to ${DRAIN_MS_MAX}`);
    const force = this.take('force', isBoolean, 'true or false');
    const reason = this.take('reason', isReason, `a text of at most ${REASON_CHARACTERS_MAX} characters`);
    const drainRate = this.take('drainRate', isIntegerIn(1, DRAIN_RATE_MAX), `an integer from 1 to ${DRAIN_RATE_MAX}`);
    const redirect = this.take('redirect', isServerReference, `a text of 1 to ${SERVER_REFERENCE_MAX} printable characters`);
    if (drainMs !== undefined && drainRate !== undefined) this.problems.add('drainRate', 'cannot be given beside drainMs');
    return {
      drainMs: drainMs ?? 0,
      drainRate: drainRate ?? null,
      redirect: redirect ?? null,
      force: force ?? false,
      reason: reason ?? null,
    };
  }

  key(): EndpointKey {
    const key = this.optionalKey();
    if (key === null && this.problems.issues.length === 0) this.problems.add('port', 'port or id is required');
    return key ?? {};
  }

  /** null when the request names no endpoint */
  optionalKey(): EndpointKey | null {
    const port = this.take('port', isPort, 'an integer from 1 to 65535');
    const id = this.take('id', isId, 'a text of 1 to 64 of A-Z a-z 0-9 _ . -');
    if (port === undefined && id === undefined) return null;
    return { ...(port === undefined ? {} : { port }), ...(id === undefined ? {} : { id }) };
  }

  revision(min: 0 | 1): number {
    const revision = this.take('revision', isIntegerIn(min, Number.MAX_SAFE_INTEGER), `a whole number from ${min}`);
    const isNamed = this.problems.issues.some(({ path }) => path === 'revision');
    if (revision === undefined && !isNamed) this.problems.add('revision', 'is required');
    return revision ?? 0;
  }

  dryRun(): boolean {
    return this.take('dryRun', isBoolean, 'true or false') ?? false;
  }

  /**
   * The remaining keys. When there are problems already, `inspect` checks the remaining keys, too, so that the answer names all problems.
   * @throws FluxError `not-supported-yet` when there is nothing worse, else `invalid`
   */
  rest(inspect?: (rest: Record<string, unknown>) => unknown): Record<string, unknown> {
    if (this.problems.issues.length === 0) return this.#rest;
    try {
      inspect?.(this.#rest);
    } catch (error) {
      if (!(error instanceof FluxError)) throw error;
      this.problems.issues.push(...error.issues);
    }
    throw this.problems.toError('request');
  }

  /** @throws FluxError `invalid` when a key is left or a problem was found */
  end(): void {
    for (const path of Object.keys(this.#rest)) this.problems.addUnknownKey(path);
    this.rest();
  }
}

function isIntegerIn(low: number, high: number) {
  return (value: unknown): value is number => typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high;
}
const isPort = isIntegerIn(1, 65_535);
const isBoolean = (value: unknown): value is boolean => typeof value === 'boolean';
const isReason = (value: unknown): value is string => typeof value === 'string' && value.length <= REASON_CHARACTERS_MAX;
const isServerReference = (value: unknown): value is string =>
  typeof value === 'string' && value.length > 0 && value.length <= SERVER_REFERENCE_MAX && /^[^\p{C}]+$/u.test(value);
const isId = (value: unknown): value is string => typeof value === 'string' && /^[A-Za-z0-9_.-]{1,64}$/.test(value);

/** Finds the problems of a patch that show without its endpoint. */
function inspectPatch({ newPort, ...patch }: Record<string, unknown>): unknown {
  try {
    return parseEndpoint({ ...patch, port: newPort ?? 1 });
  } catch (error) {
    if (!(error instanceof FluxError)) throw error;
    const issues = error.issues.map((issue) => (issue.path === 'port' ? { ...issue, path: 'newPort' } : issue));
    throw new FluxError(error.kind, error.message, { issues });
  }
}

/** `add`: everything but the options is the endpoint. @throws FluxError `invalid`, `not-supported-yet` */
export function readAdd(body: unknown): { options: ChangeOptions; input: Record<string, unknown> } {
  const reader = new BodyReader(body);
  const options = reader.options();
  return { options, input: reader.rest(parseEndpoint) };
}

/** `update`: `port` or `id` names the endpoint; the rest, also `newPort`, is merged in. @throws FluxError `invalid`, `not-supported-yet` */
export function readUpdate(body: unknown): { options: ChangeOptions; key: EndpointKey; patch: Record<string, unknown> } {
  const reader = new BodyReader(body);
  const options = reader.options();
  const key = reader.key();
  return { options, key, patch: reader.rest(inspectPatch) };
}

/** `remove`, `enable`, `disable`: only the key of the endpoint and the options. @throws FluxError `invalid`, `not-supported-yet` */
export function readKeyBody(body: unknown): { options: ChangeOptions; key: EndpointKey } {
  const reader = new BodyReader(body);
  const options = reader.options();
  const key = reader.key();
  reader.end();
  return { options, key };
}

export interface RollbackRequest {
  options: ChangeOptions;
  /** 0 means the state before the first change */
  revision: number;
  /** null: all endpoints */
  key: EndpointKey | null;
  dryRun: boolean;
}

/** `rollback`. @throws FluxError `invalid`, `not-supported-yet` */
export function readRollback(body: unknown): RollbackRequest {
  const reader = new BodyReader(body);
  const request = { options: reader.options(), revision: reader.revision(0), key: reader.optionalKey(), dryRun: reader.dryRun() };
  reader.end();
  return request;
}

/** `confirm`: the waiting revision. @throws FluxError `invalid` */
export function readConfirm(body: unknown): number {
  const reader = new BodyReader(body);
  const revision = reader.revision(1);
  reader.end();
  return revision;
}

export type ImportMode = 'merge' | 'replace';

export interface ImportRequest {
  options: ChangeOptions;
  /** null when the request names none */
  mode: ImportMode | null;
  dryRun: boolean;
}

/** The options of `import` and `restore` beside the file. @throws FluxError `invalid`, `not-supported-yet` */
export function readImport(body: unknown): ImportRequest {
  const reader = new BodyReader(body);
  const options = reader.options();
  const mode = reader.take('mode', (value): value is ImportMode => value === 'merge' || value === 'replace', 'merge or replace');
  const dryRun = reader.dryRun();
  reader.end();
  return { options, mode: mode ?? null, dryRun };
}

const PLAN_ACTIONS = ['add', 'update', 'remove', 'enable', 'disable', 'rollback', 'import'] as const;

/** `plan`: the planned action and its body. @throws FluxError `invalid` */
export function readPlan(body: unknown): { action: (typeof PLAN_ACTIONS)[number]; body: Record<string, unknown> } {
  const reader = new BodyReader(body);
  const isAction = (value: unknown): value is (typeof PLAN_ACTIONS)[number] => PLAN_ACTIONS.some((name) => name === value);
  const action = reader.take('action', isAction, `one of ${PLAN_ACTIONS.join(', ')}`);
  if (action === undefined && reader.problems.issues.length === 0) reader.problems.add('action', 'is required');
  const rest = reader.rest();
  if (action === undefined) throw reader.problems.toError('request');
  return { action, body: rest };
}
