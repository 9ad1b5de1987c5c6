/** The one error class that may travel to a user of the admin API: a kind, a status, and every problem found. */

/** One problem with one value of the input. `path` is dotted (`serverOptions.soBacklog`); '' means the whole input. */
export interface Issue {
  path: string;
  message: string;
  /** 1-based line in the configuration file, where there is one. */
  line?: number;
}

/** Machine-readable reason of a failure; it decides the HTTP status (docs/admin-api.md). */
export type ErrorKind =
  | 'invalid' // 400
  | 'unauthorized' // 401
  | 'forbidden' // 403
  | 'not-found' // 404
  | 'method-not-allowed' // 405
  | 'exists' // 409
  | 'port-in-use' // 409
  | 'default-endpoint' // 409
  | 'busy' // 409: another change of the same endpoint is in progress
  | 'revision-mismatch' // 412
  | 'too-large' // 413
  | 'unsupported-media-type' // 415
  | 'unprocessable' // 422: address not local, no permission for the port, ...
  | 'too-many-requests' // 429
  | 'not-supported-yet' // 400: a key or a value that is reserved for a later version (docs/migration.md)
  | 'unavailable' // 503
  | 'timeout' // 503: nothing was changed
  | 'internal'; // 500

const STATUS: Record<ErrorKind, number> = {
  invalid: 400,
  unauthorized: 401,
  forbidden: 403,
  'not-found': 404,
  'method-not-allowed': 405,
  exists: 409,
  'port-in-use': 409,
  'default-endpoint': 409,
  busy: 409,
  'revision-mismatch': 412,
  'too-large': 413,
  'unsupported-media-type': 415,
  unprocessable: 422,
  'too-many-requests': 429,
  'not-supported-yet': 400,
  unavailable: 503,
  timeout: 503,
  internal: 500,
};

/** A failure with a name. The admin API adds `data` to the answer, beside the error (the current endpoint with 412). */
export class FluxError extends Error {
  readonly kind: ErrorKind;
  readonly issues: Issue[];
  readonly data: unknown;

  constructor(kind: ErrorKind, message: string, options: { issues?: Issue[]; data?: unknown; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'FluxError';
    this.kind = kind;
    this.issues = options.issues ?? [];
    this.data = options.data ?? null;
  }

  /** HTTP status of this error. */
  get status(): number {
    return STATUS[this.kind];
  }
}

/** The form in which a FluxError crosses a thread boundary. */
export interface WireError {
  kind: ErrorKind;
  message: string;
  issues: Issue[];
}

/** Any thrown value → plain data for another thread. */
export function toWireError(error: unknown): WireError {
  if (error instanceof FluxError) return { kind: error.kind, message: error.message, issues: error.issues };
  return { kind: 'internal', message: messageOf(error), issues: [] };
}

/** Plain data from another thread → FluxError. */
export function fromWireError(wire: WireError): FluxError {
  return new FluxError(wire.kind, wire.message, { issues: wire.issues });
}

/** The text of a thrown value: the message of an Error, anything else as a string. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The stack of a thrown value, else its text. */
export function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
