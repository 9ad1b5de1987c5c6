/** The logging contract: main writes through pino, workers send the same calls as events; nobody else knows which. */

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** Fields must be plain data and never hold a password, token or payload. */
export type LogFields = Record<string, unknown>;

export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** Logs nothing; for tests and for code that runs before logging is open. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };
