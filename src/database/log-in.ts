/** The deadline of a database login, the same for every driver. */

import { steadyNow } from '../kernel/clock.ts';
import type { SqlConnection } from './connection.ts';

/**
 * Runs `attempt`. Destroys the connection when the attempt fails or is not done by `deadline` (steadyNow()).
 * @returns the connection, logged in
 * @throws the error of `attempt`, which also fails when its connection is destroyed
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
