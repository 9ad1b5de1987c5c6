/** The names by which sessions and subscriptions are found. */

/** Identity of a session within the process. */
export function sessionKey(namespace: string, clientId: string): string {
  return `${namespace}\0${clientId}`;
}

/** Identity of a subscription within its session: a shared and an ordinary one of the same filter are two. */
export function subscriptionKey(subscription: { filter: string; group: string | null }): string {
  return subscription.group === null ? subscription.filter : `$share/${subscription.group}/${subscription.filter}`;
}

/** Session Expiry Interval of a session that never expires [MQTT-3.1.2.11.2]. */
export const NEVER_EXPIRES = 0xffffffff;
