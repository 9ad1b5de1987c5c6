/** A scenario: its publishers and subscribers, its rate and its bytes. Plain data, because it goes to the load generator. */

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
  /** unfinished messages allowed per publisher; used when rate = 0 */
  window: number;
  /** messages per second of all publishers together, sent by schedule; 0 = as fast as the window allows */
  rate: number;
  isWebsocket: boolean;
  isTls: boolean;
  /** each packet has a WebSocket frame of its own, as MQTT.js sends; else a write is one frame */
  isFramedEach: boolean;
  username: string | null;
  password: string | null;
  /** filters held by the subscribers, a fifth of them with wildcards (scattered) */
  filters: number;
  /** new filters that ten more clients subscribe to during the measurement, a fifth of them with wildcards */
  newFilters: number;
  /** connections of storm and idle */
  connections: number;
}

/** Settings that the endpoint needs beyond its defaults. */
export interface BrokerNeeds {
  isWebsocket: boolean;
  isTls: boolean;
  hasAuth: boolean;
  workers: number;
}

export interface Scenario {
  name: string;
  title: string;
  /** part of `--quick` */
  isQuick: boolean;
  /** peers for which the scenario makes sense; empty = all */
  peers: readonly string[];
  load: Load;
  needs: BrokerNeeds;
}

/** Where clients connect. */
export interface Address {
  host: string;
  port: number;
}

/** The task of the load generator, which gets it as JSON. */
export interface Order {
  load: Load;
  /** port of publishers and of clients without messages: on 127.0.0.1, in a storm on several addresses */
  port: number;
  brokerPid: number;
  /** a cluster: where publishers (and clients without messages) and subscribers connect; absent: `port` */
  at?: { publishers: Address; subscribers: Address };
  /** a cluster: the processes of each party, whose CPU time is measured apart */
  parties?: Record<string, number[]>;
  /** seconds of warm-up and of measurement */
  warmup: number;
  duration: number;
  /** program that counts the broker's system calls during the measurement: strace; null = none */
  tracer: string | null;
}

/** Results of the load generator for one run. */
export interface RunResult {
  /** messages delivered to subscribers (connections made, for a storm) within the measurement */
  delivered: number;
  published: number;
  /** messages delivered from the first to the last, outside the measurement too */
  total: number;
  seconds: number;
  /** CPU seconds of the broker (of all parties of a cluster) and of the load generator within the measurement */
  brokerCpu: number;
  loadCpu: number;
  /** CPU seconds by party; empty without parties */
  partyCpu: Record<string, number>;
  /** resident bytes of the broker at the end of the measurement, and before the first connection */
  rss: number;
  rssBefore: number;
  /** microseconds; null without samples */
  latency: { p50: number; p99: number; p999: number; max: number } | null;
  lost: number;
  duplicated: number;
  /** messages that arrived after a later one of the same publisher */
  disordered: number;
  connections: number;
  /** system calls of the broker within the measurement; null = not counted */
  syscalls: number | null;
  /** reason why the run does not count; null = it counts */
  failure: string | null;
}

/** The result of a run that measured nothing. */
export const NO_RESULT: RunResult = {
  delivered: 0,
  published: 0,
  total: 0,
  seconds: 0,
  brokerCpu: 0,
  loadCpu: 0,
  partyCpu: {},
  rss: 0,
  rssBefore: 0,
  latency: null,
  lost: 0,
  duplicated: 0,
  disordered: 0,
  connections: 0,
  syscalls: null,
  failure: null,
};

export const NO_AUTH = { username: null, password: null } as const;
/** The login of scenarios with authentication. */
export const LOGIN = { username: 'bench', password: 'bench-secret' } as const;
