/** What `npm run cluster` prints: where everything is, and commands to play with. The test of it runs these very commands. */

export interface Scene {
  folder: string;
  /** of the nodes */
  admins: readonly string[];
  addresses: readonly string[];
  names: readonly string[];
  mqttPort: number;
  /** of an endpoint that is added, and to which it is moved */
  newPorts: readonly [number, number];
  nats: { url: string; pid: number };
  database: { url: string; username: string; password: string };
}

/** Between these lines stand the commands. */
export const FIRST_LINE = 'Paste in another terminal, line by line:';
export const LAST_LINE = 'Ctrl-C here ends all of it.';

const JSON_TYPE = "-H 'Content-Type: application/json'";

export function guide({ folder, admins, addresses, names, mqttPort, newPorts, nats, database }: Scene): string {
  const [one = '', two = '', three = ''] = admins;
  const [port, moved] = newPorts;
  const post = (admin: string, path: string, body: unknown) =>
    `curl -s '${admin}/api/endpoints/${path}' ${JSON_TYPE} -d '${JSON.stringify(body)}'`;
  const nodes = names.map((name, index) => `  ${name}    admin API ${admins[index]} (/docs)    MQTT ${addresses[index]}:${mqttPort}`);
  const [first, , last] = addresses;
  return [
    'Three nodes of one cluster, NATS and Postgres are up:',
    ...nodes,
    `  NATS      ${nats.url} (pid ${nats.pid})`,
    `  Postgres  ${database.url} (user ${database.username}, password ${database.password})`,
    `  logs      ${folder}/node-*/fluxmq.log; the folder is removed at the end`,
    '',
    FIRST_LINE,
    '# who is there, and which revision each runs',
    `curl -s ${one}/api/cluster/nodes`,
    '# a port that is added on one node listens on all three when the answer is there: "nodes" says so',
    post(one, 'add', { id: 'sensors', port, enableAuth: false }),
    '# who subscribes on node-1 hears who publishes on node-3',
    `mosquitto_sub -h ${first} -p ${port} -t hello -C 1 -W 20 & while kill -0 $! 2> /dev/null; do mosquitto_pub -h ${last} -p ${port} -t hello -m world -q 1; sleep 1; done`,
    '# any node may change it; with policy=all only if every node can',
    post(two, 'update?policy=all', { id: 'sensors', newPort: moved, maxConnectionSize: 50 }),
    '# node-3 is killed (and started again after 5 s): the answer to a change says that it is pending there',
    `curl -s ${three}/api/system/resources | grep -o '"pid":[0-9]*' | cut -d: -f2 | xargs kill -9`,
    post(one, 'update', { id: 'sensors', maxConnectionSize: 60 }),
    '# when it is back, it runs the newest revision, too (this waits for it)',
    `until curl -s '${three}/api/endpoints/get?port=${moved}' | grep '"maxConnectionSize":60'; do sleep 1; done`,
    '# NATS is frozen: a change is made nevertheless, the others find it in Postgres (this waits for them); then it thaws',
    `kill -STOP ${nats.pid}`,
    post(two, 'update?timeout=3s', { id: 'sensors', maxConnectionSize: 70 }),
    `until curl -s '${one}/api/endpoints/get?port=${moved}' | grep '"maxConnectionSize":70'; do sleep 1; done`,
    `kill -CONT ${nats.pid}`,
    '# who changed what, and the cluster as node-1 sees it',
    `curl -s '${one}/api/endpoints/history?id=sensors&limit=2'`,
    `curl -s ${one}/api/cluster/status`,
    post(three, 'remove', { id: 'sensors' }),
    '',
    LAST_LINE,
  ].join('\n');
}
