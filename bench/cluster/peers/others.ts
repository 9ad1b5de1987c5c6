/** Other brokers as clusters: mosquittos with a bridge, nats-server's own MQTT, RabbitMQ with its MQTT plugin. */

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../../test/kit/free-port.ts';
import { mosquitto } from '../../peers/mosquitto.ts';
import { nats } from '../../peers/nats.ts';
import { endProcess, findProgram, launchOn, waitForPort } from '../../peers/peer.ts';
import { type ClusterPeer, familyOf, type RunningCluster } from './cluster-peer.ts';

const HOST = '127.0.0.1';
const RABBITMQ = '/usr/lib/rabbitmq/bin/rabbitmq-server';
/** Time in which the servers of a cluster find one another, and elect their leaders. */
const SETTLES_MS = 4_000;
const RABBITMQ_STARTS_MS = 90_000;

const settled = () => new Promise((resolve) => setTimeout(resolve, SETTLES_MS));

async function ports(count: number): Promise<number[]> {
  const found: number[] = [];
  for (let n = 0; n < count; n++) found.push(await freePort());
  return found;
}

interface Started {
  children: ReturnType<typeof launchOn>[];
  listen: number[];
  stopMore?: () => void;
}

function running({ children, listen, stopMore = () => undefined }: Started): RunningCluster {
  return {
    nodes: listen.map((port, index) => ({ address: { host: HOST, port }, pids: () => familyOf(children[index]!.pid!) })),
    carriers: () => [],
    stop: async () => {
      await Promise.all(children.map(endProcess));
      stopMore();
    },
  };
}

/** Each bridges everything to the next one, both ways. Only the first two are connected with a size of two. */
export const mosquittoBridge: ClusterPeer = {
  name: 'mosquitto (bridge)',
  version: () => mosquitto.version(),
  size: 2,
  refuses: () => null,
  async start(dir, size) {
    const listen = await ports(size);
    const children = listen.map((port, index) => {
      const lines = [`listener ${port} ${HOST}`, 'allow_anonymous true', 'log_type error', 'max_queued_messages 0'];
      if (process.getuid?.() === 0) lines.push('user root');
      const next = listen[index + 1];
      if (next !== undefined)
        lines.push(
          `connection bridge-${index}`,
          `address ${HOST}:${next}`,
          'topic # both 2',
          'cleansession true',
          'max_inflight_messages 0',
        );
      const file = join(dir, `mosquitto-${index}.conf`);
      writeFileSync(file, `${lines.join('\n')}\n`);
      return launchOn(null, { command: findProgram('mosquitto')!, args: ['-c', file] }, dir);
    });
    for (const [index, port] of listen.entries()) await waitForPort(port, children[index]!);
    await settled();
    return running({ children, listen });
  },
};

export const natsMqtt: ClusterPeer = {
  name: 'nats-server (MQTT)',
  version: () => nats.version(),
  size: 3,
  refuses: ({ qos }) => (qos === 2 ? 'no QoS 2 before 2.10' : null),
  async start(dir, size) {
    const [listen, routes] = [await ports(size), await ports(size)];
    const all = routes.map((route) => `nats-route://${HOST}:${route}`).join(', ');
    const children = listen.map((port, index) => {
      const storage = join(dir, `jetstream-${index}`);
      mkdirSync(storage, { recursive: true });
      const file = join(dir, `nats-${index}.conf`);
      writeFileSync(
        file,
        `server_name: bench-${index}\nlisten: "${HOST}:-1"\njetstream { store_dir: ${JSON.stringify(storage)} }\n` +
          `cluster { name: bench, listen: "${HOST}:${routes[index]}", routes: [${all}] }\nmqtt { host: ${HOST}, port: ${port} }\n`,
      );
      return launchOn(null, { command: findProgram('nats-server')!, args: ['-c', file] }, dir);
    });
    for (const [index, port] of listen.entries()) await waitForPort(port, children[index]!);
    await settled();
    return running({ children, listen });
  },
};

export const rabbitmq: ClusterPeer = {
  name: 'RabbitMQ (MQTT)',
  version: () => {
    if (!existsSync(RABBITMQ)) return null;
    const { stdout } = spawnSync('dpkg-query', ['-W', '-f', '${Version}', 'rabbitmq-server'], { encoding: 'utf8' });
    return stdout === '' ? 'unknown' : stdout;
  },
  size: 2,
  refuses: ({ qos }) => (qos === 2 ? 'it delivers QoS 2 as QoS 1' : null),
  async start(dir, size) {
    const [listen, nodes, epmd] = [await ports(size), await ports(size), await freePort()];
    const names = listen.map((_, index) => `bench${index}@localhost`);
    writeFileSync(join(dir, '.erlang.cookie'), 'bench', { mode: 0o400 });
    writeFileSync(join(dir, 'plugins'), '[rabbitmq_mqtt].');
    const children = listen.map((port, index) => {
      const file = join(dir, `rabbit-${index}.conf`);
      const members = names.map((name, n) => `cluster_formation.classic_config.nodes.${n + 1} = ${name}`).join('\n');
      writeFileSync(
        file,
        `listeners.tcp = none\nmqtt.listeners.tcp.1 = ${HOST}:${port}\nmqtt.allow_anonymous = true\nmqtt.prefetch = 100\n` +
          `cluster_formation.peer_discovery_backend = classic_config\n${members}\n`,
      );
      const env = {
        ...process.env,
        HOME: dir,
        ERL_EPMD_PORT: String(epmd),
        RABBITMQ_NODENAME: names[index]!,
        RABBITMQ_NODE_PORT: '0',
        RABBITMQ_DIST_PORT: String(nodes[index]!),
        RABBITMQ_CONFIG_FILE: file.replace(/\.conf$/, ''),
        RABBITMQ_ENABLED_PLUGINS_FILE: join(dir, 'plugins'),
        RABBITMQ_MNESIA_BASE: join(dir, `mnesia-${index}`),
        RABBITMQ_LOG_BASE: join(dir, `log-${index}`),
        RABBITMQ_PID_FILE: join(dir, `pid-${index}`),
      };
      return spawn(RABBITMQ, [], { cwd: dir, env, stdio: ['ignore', 'ignore', 'pipe'] });
    });
    const stopMore = () => void spawnSync('epmd', ['-port', String(epmd), '-kill'], { stdio: 'ignore' });
    for (const child of children) child.stderr!.resume();
    try {
      for (const [index, port] of listen.entries()) await waitForPort(port, children[index]!, RABBITMQ_STARTS_MS);
      await settled();
    } catch (error) {
      await Promise.all(children.map(endProcess));
      stopMore();
      throw error;
    }
    return running({ children, listen, stopMore });
  },
};
