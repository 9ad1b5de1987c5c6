/** What a scenario is: who publishes to whom, how fast, with what bytes; plain data, so that it can be handed to the load generator. */

/** One traffic pattern, or a pattern of connections without traffic. */
export interface Load {
  kind: 'flow' | 'storm' | 'idle';
  /**
   * pairs: publisher i to subscriber i; fanout: publisher 0 to all; fanin: all to subscriber 0; shared: all to one shared group;
   * scattered: every publisher walks through `topics / publishers` topics, each wanted by two subscribers
   */
  pattern: 'pairs' | 'fanout' | 'fanin' | 'shared' | 'scattered';
  publishers: number;
  subscribers: number;
  qos: 0 | 1 | 2;
  version: 4 | 5;
  /** bytes, at least 16 */
  payload: number;
  userProperties: number;
  /** unfinished messages a publisher may have; used when rate = 0 */
  window: number;
  /** messages a second of all publishers together, sent by schedule; 0 = as fast as the window allows */
  rate: number;
  isWebsocket: boolean;
  username: string | null;
  password: string | null;
  /** filters held by the subscribers, of which a fifth has wildcards (scattered) */
  filters: number;
  /** new filters that ten more clients subscribe during the measurement, a fifth with wildcards */
  newFilters: number;
  /** connections of storm and idle */
  connections: number;
}

/** What the endpoint needs beyond its defaults. */
export interface BrokerNeeds {
  isWebsocket: boolean;
  hasAuth: boolean;
  workers: number;
}

export interface Scenario {
  name: string;
  title: string;
  /** part of `--quick` */
  isQuick: boolean;
  /** peers that it makes sense for; empty = all */
  peers: readonly string[];
  load: Load;
  needs: BrokerNeeds;
}

/** Handed to the load generator as JSON. */
export interface Order {
  load: Load;
  port: number;
  brokerPid: number;
  /** seconds before and of the measurement */
  warmup: number;
  duration: number;
  /** a program that counts the broker's system calls during the measurement: strace; null = none */
  tracer: string | null;
}

/** What the load generator found in one run. */
export interface RunResult {
  /** messages delivered to subscribers (connections made, for a storm) within the measurement */
  delivered: number;
  published: number;
  /** messages delivered from the first to the last */
  total: number;
  seconds: number;
  /** CPU seconds of the broker and of the load generator within the measurement */
  brokerCpu: number;
  loadCpu: number;
  /** bytes of the broker at the end of the measurement, and before the first connection */
  rss: number;
  rssBefore: number;
  /** microseconds; null when nothing was sampled */
  latency: { p50: number; p99: number; p999: number; max: number } | null;
  lost: number;
  duplicated: number;
  /** messages that came after a later one of the same publisher */
  disordered: number;
  connections: number;
  /** system calls of the broker within the measurement; null = not counted */
  syscalls: number | null;
  /** why the run is worth nothing; null = it counts */
  failure: string | null;
}

export const NO_AUTH = { username: null, password: null } as const;
/** The login of scenarios with authentication. */
export const LOGIN = { username: 'bench', password: 'bench-secret' } as const;
