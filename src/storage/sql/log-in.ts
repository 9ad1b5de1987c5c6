/** The deadline of a login to a database, the same for every driver. */

import { steadyNow } from '../../kernel/clock.ts';
import type { SqlConnection } from './connection.ts';

/**
 * Runs `attempt`, and destroys the connection when that fails or is not done by `deadline` (steadyNow()).
 * @returns the connection, logged in
 * @throws what `attempt` throws; a destroyed connection makes it fail
 */
export async function logIn<T extends SqlConnection>(connection: T, attempt: () => Promise<unknown>, deadline: number): Promise<T> {
  const timer = setTimeout(() => connection.destroy(), Math.max(0, deadline - steadyNow()));
  try {
    await attempt();
    return connection;
  } catch (error) {
    connection.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
