/** Splits the body of a change into what it says about the change and what it says about the endpoint, strictly. */

import { FluxError, type Issue } from '../../kernel/errors.ts';

/** How a change is to be made. */
export interface ChangeOptions {
  /** milliseconds, 0..3600000; 0: clients of an old listener stay, those of a removed endpoint are disconnected at once */
  drainMs: number;
  force: boolean;
  reason: string | null;
}

/** Which endpoint a change is about: one of them, or both when they agree. */
export interface EndpointKey {
  port?: number;
  id?: string;
}

export const DRAIN_MS_MAX = 3_600_000;
const REASON_CHARACTERS_MAX = 500;
/** Parts of later stages of the product: refused, so that nobody believes they took effect. */
const NOT_YET = ['redirect', 'confirmWithin', 'drainRate'];

class Reader {
  readonly issues: Issue[] = [];
  readonly #rest: Record<string, unknown>;

  constructor(body: unknown) {
    if (typeof body !== 'object' || body === null || Array.isArray(body)) {
      throw new FluxError('invalid', 'the body must be a JSON object', { issues: [{ path: '', message: 'must be an object' }] });
    }
    this.#rest = { ...body };
  }

  /** Removes a key and returns its value if `isValid`, else notes a problem; undefined when it is absent. */
  take<T>(key: string, isValid: (value: unknown) => value is T, expected: string): T | undefined {
    if (!Object.hasOwn(this.#rest, key)) return undefined;
    const value = this.#rest[key];
    delete this.#rest[key];
    if (isValid(value)) return value;
    this.issues.push({ path: key, message: `must be ${expected}` });
    return undefined;
  }

  options(): ChangeOptions {
    const notYet = NOT_YET.filter((key) => Object.hasOwn(this.#rest, key));
    if (notYet.length > 0) {
      const issues = notYet.map((path) => ({ path, message: 'not supported yet' }));
      throw new FluxError('not-supported-yet', `${notYet.join(', ')}: not supported yet`, { issues });
    }
    const drainMs = this.take('drainMs', isIntegerIn(0, DRAIN_MS_MAX), `an integer from 0 to ${DRAIN_MS_MAX}`);
    const force = this.take('force', isBoolean, 'true or false');
    const reason = this.take('reason', isReason, `a text of at most ${REASON_CHARACTERS_MAX} characters`);
    return { drainMs: drainMs ?? 0, force: force ?? false, reason: reason ?? null };
  }

  key(): EndpointKey {
    const port = this.take('port', isPort, 'an integer from 1 to 65535');
    const id = this.take('id', isId, 'a text of 1 to 64 of A-Z a-z 0-9 _ . -');
    if (port === undefined && id === undefined && this.issues.length === 0)
      this.issues.push({ path: 'port', message: 'port or id is required' });
    return { ...(port === undefined ? {} : { port }), ...(id === undefined ? {} : { id }) };
  }

  /** What is left. @throws FluxError `invalid` with every problem noted so far */
  rest(): Record<string, unknown> {
    if (this.issues.length > 0) throw new FluxError('invalid', 'the request is not valid', { issues: this.issues });
    return this.#rest;
  }

  /** @throws FluxError `invalid` when anything is left or was wrong */
  end(): void {
    for (const path of Object.keys(this.#rest)) this.issues.push({ path, message: 'unknown key' });
    this.rest();
  }
}

function isIntegerIn(low: number, high: number) {
  return (value: unknown): value is number => typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high;
}
const isPort = isIntegerIn(1, 65_535);
const isBoolean = (value: unknown): value is boolean => typeof value === 'boolean';
const isReason = (value: unknown): value is string => typeof value === 'string' && value.length <= REASON_CHARACTERS_MAX;
const isId = (value: unknown): value is string => typeof value === 'string' && /^[A-Za-z0-9_.-]{1,64}$/.test(value);

/** `add`: everything but the options is the endpoint. @throws FluxError `invalid`, `not-supported-yet` */
export function readAdd(body: unknown): { options: ChangeOptions; input: Record<string, unknown> } {
  const reader = new Reader(body);
  const options = reader.options();
  return { options, input: reader.rest() };
}

/** `update`: `port` or `id` name the endpoint; the rest, `newPort` too, is merged into it. @throws FluxError `invalid`, `not-supported-yet` */
export function readUpdate(body: unknown): { options: ChangeOptions; key: EndpointKey; patch: Record<string, unknown> } {
  const reader = new Reader(body);
  const options = reader.options();
  const key = reader.key();
  return { options, key, patch: reader.rest() };
}

/** `remove`, `enable`, `disable`: nothing but the endpoint's name and the options. @throws FluxError `invalid`, `not-supported-yet` */
export function readTarget(body: unknown): { options: ChangeOptions; key: EndpointKey } {
  const reader = new Reader(body);
  const options = reader.options();
  const key = reader.key();
  reader.end();
  return { options, key };
}

/** `plan`: which of the others it is, and its body. @throws FluxError `invalid` */
export function readPlan(body: unknown): { action: 'add' | 'update' | 'remove' | 'enable' | 'disable'; body: Record<string, unknown> } {
  const reader = new Reader(body);
  const isAction = (value: unknown) => ['add', 'update', 'remove', 'enable', 'disable'].includes(String(value));
  const action = reader.take('action', isAction as (value: unknown) => value is 'add', 'add, update, remove, enable or disable');
  if (action === undefined && reader.issues.length === 0) reader.issues.push({ path: 'action', message: 'is required' });
  const rest = reader.rest();
  return { action: action as 'add' | 'update' | 'remove' | 'enable' | 'disable', body: rest };
}
