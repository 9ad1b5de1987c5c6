/** The logging contract. Main writes through pino, workers send the same calls as events; callers do not see the difference. */

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** Fields must be plain data and never hold a password, token or payload. */
export type LogFields = Record<string, unknown>;

export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** Logs nothing: for tests, and before logging is open. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };
