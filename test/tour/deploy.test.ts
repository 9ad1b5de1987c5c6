/** What `deploy/` holds, checked without the engines that it is for: settings, ports, probes, the unit, and the NATS configuration. */

import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { startBroker } from '../kit/broker.ts';
import { freePort } from '../kit/free-port.ts';
import { freshFolder, ROOT } from './started.ts';

const DEPLOY = join(ROOT, 'deploy');
const KUBERNETES = join(DEPLOY, 'kubernetes');
const text = (...path: string[]) => readFileSync(join(DEPLOY, ...path), 'utf8');

interface Probe {
  httpGet: { path: string; port: string };
  periodSeconds: number;
  failureThreshold: number;
}

interface Manifest {
  kind: string;
  metadata: { name: string };
  data?: Record<string, string>;
  spec?: Record<string, unknown>;
}

interface Container {
  args: string[];
  env: { name: string; valueFrom: { fieldRef?: { fieldPath: string }; secretKeyRef?: { name: string; key: string } } }[];
  ports: { name: string; containerPort: number }[];
  startupProbe: Probe;
  readinessProbe: Probe;
  livenessProbe: Probe;
  volumeMounts: { name: string; mountPath: string }[];
  lifecycle: { preStop: { exec: { command: [string, string] } } };
}

interface ComposeService {
  environment: Record<string, string>;
  ports?: string[];
  volumes: string[];
  depends_on?: Record<string, unknown>;
  healthcheck?: { test: string[] };
  command?: string[];
  stop_grace_period?: string;
}

/** `./fluxmq check` of a configuration under an environment of which nothing else begins with FLUXMQ_. @returns what it said, and its exit code */
async function check(config: string, env: Record<string, string>): Promise<{ code: number; said: string }> {
  const folder = freshFolder();
  writeFileSync(join(folder, 'config.yaml'), config);
  const { PATH = '' } = process.env;
  const args = [join(ROOT, 'dist/main.js'), 'check', '--config', 'config.yaml'];
  try {
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: folder, env: { PATH, ...env }, timeout: 20_000 });
    return { code: 0, said: stdout.trim() };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, said: stdout + stderr };
  }
}

const VALID = { code: 0, said: 'config.yaml is valid' };

test('Compose: every variable is a setting, nodes differ by name and ports alone, and everything that is named is there', async () => {
  const { services, volumes } = parse(text('compose.yaml'), { merge: true }) as {
    services: Record<string, ComposeService>;
    volumes: Record<string, unknown>;
  };
  const given = new Map([...text('env.example').matchAll(/^(\w+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value]));
  const filled = (value: string) =>
    value.replaceAll(/\$\{(\w+):\?\}/g, (_all, name: string) => given.get(name) ?? expect.fail(`env.example lacks ${name}`));
  const nodes = Object.entries(services).filter(([name]) => name.startsWith('fluxmq-'));
  expect(nodes).toHaveLength(3);
  const commons = new Set<string>();
  for (const [name, { environment, ports = [], depends_on = {}, stop_grace_period }] of nodes) {
    const env = Object.fromEntries(Object.entries(environment).map(([key, value]) => [key, filled(value)]));
    // The others differ by their names and logins alone.
    if (name === 'fluxmq-1') expect(await check('', env)).toEqual(VALID);
    const { FLUXMQ_NODE_NAME, FLUXMQ_CLUSTER_CREDENTIALS_USER, FLUXMQ_CLUSTER_CREDENTIALS_PASSWORD, ...common } = env;
    expect([FLUXMQ_NODE_NAME, FLUXMQ_CLUSTER_CREDENTIALS_USER]).toEqual([name, name]);
    const [, variable = ''] = new RegExp(`user: ${name}, password: \\$(\\w+),`).exec(text('nats.conf')) ?? [];
    expect(FLUXMQ_CLUSTER_CREDENTIALS_PASSWORD).toBe(given.get(variable));
    commons.add(JSON.stringify(common));
    // Published ports lead to the endpoint and the admin API, and are not open to the network.
    const [mqtt, admin] = ports.map((port) => port.split(':'));
    const [endpoint] = JSON.parse(env['FLUXMQ_ENDPOINTS'] ?? '') as { port: number }[];
    expect([mqtt![0], mqtt![2], admin![0], admin![2]]).toEqual(['127.0.0.1', String(endpoint!.port), '127.0.0.1', '18083']);
    for (const other of Object.keys(depends_on)) expect(services[other]?.healthcheck).toBeDefined();
    expect(Number.parseInt(stop_grace_period ?? '', 10) * 1000).toBeGreaterThan(10_000);
    const addresses = JSON.parse(env['FLUXMQ_CLUSTER_ADDRESSES'] ?? '') as string[];
    expect(addresses.map((address) => new URL(address).hostname)).toEqual(['nats-1', 'nats-2', 'nats-3']);
    for (const address of addresses) expect(Object.keys(services)).toContain(new URL(address).hostname);
    const database = new URL((env['FLUXMQ_STORE_DATASOURCE_URL'] ?? '').replace('jdbc:', ''));
    expect(Object.keys(services)).toContain(database.hostname);
    expect(services['postgres']?.environment).toMatchObject({
      POSTGRES_DB: database.pathname.slice(1),
      POSTGRES_USER: env['FLUXMQ_STORE_DATASOURCE_USERNAME'],
    });
  }
  expect(commons.size).toBe(1);
  // A variable that is none would have been found.
  expect(await check('', { FLUXMQ_CLUSTER_ADRESSES: '[]' })).toMatchObject({
    code: 1,
    said: expect.stringContaining('FLUXMQ_CLUSTER_ADRESSES'),
  });
  const outside = Object.values(services).flatMap(({ ports = [] }) => ports.map((port) => port.split(':')[1]));
  expect(new Set(outside).size).toBe(outside.length);
  for (const { volumes: mounts } of Object.values(services)) {
    for (const mount of mounts) {
      const [source = ''] = mount.split(':');
      if (source.startsWith('./')) expect(existsSync(join(DEPLOY, source))).toBe(true);
      else expect(Object.keys(volumes)).toContain(source);
    }
  }
});

test('Compose: the configuration of the three NATS servers is taken by a nats-server, and lets in the nodes with their configured login', () => {
  const folder = freshFolder();
  writeFileSync(join(folder, 'nats.conf'), text('nats.conf').replace('"/data"', `"${folder}"`));
  const { PATH = '' } = process.env;
  const tell = (more: Record<string, string>) =>
    execFileSync('nats-server', ['-t', '-c', join(folder, 'nats.conf')], {
      env: { PATH: `${PATH}:/usr/sbin`, ...more },
      encoding: 'utf8',
      stdio: 'pipe',
    });
  const passwords = ['NATS_PASSWORD_1', 'NATS_PASSWORD_2', 'NATS_PASSWORD_3', 'NATS_OPERATOR_PASSWORD'];
  const given = Object.fromEntries(passwords.map((name) => [name, 'secret']));
  expect(() => tell({ NATS_NAME: 'nats-1', ...given })).not.toThrow();
  expect(() => tell({ NATS_NAME: 'nats-1' })).toThrow(/NATS_PASSWORD/);
  const { services } = parse(text('compose.yaml'), { merge: true }) as { services: Record<string, ComposeService> };
  for (const name of ['nats-1', 'nats-2', 'nats-3']) {
    expect(text('nats.conf')).toContain(`nats-route://${name}:6222`);
    const { environment, command } = services[name]!;
    expect(environment).toEqual({ NATS_NAME: name, ...Object.fromEntries(passwords.map((each) => [each, `\${${each}:?}`])) });
    expect(command?.[1]).toBe(services[name]!.volumes[0]!.split(':')[1]);
  }
});

function manifests(): Manifest[] {
  const { resources } = parse(text('kubernetes', 'kustomization.yaml')) as { resources: string[] };
  expect([...resources, 'kustomization.yaml'].sort()).toEqual(readdirSync(KUBERNETES).sort());
  return resources.flatMap((name) =>
    parseAllDocuments(text('kubernetes', name)).map((document) => {
      expect(document.errors).toEqual([]);
      return document.toJS() as Manifest;
    }),
  );
}

test('Kubernetes: the configuration with its variables is valid, and secrets, volumes, ports and labels agree', async () => {
  const all = manifests();
  const [stateful] = all.filter(({ kind }) => kind === 'StatefulSet');
  const { template, serviceName, selector, volumeClaimTemplates } = stateful!.spec as {
    serviceName: string;
    selector: { matchLabels: object };
    template: { metadata: { labels: object; annotations: Record<string, string> }; spec: Record<string, unknown> };
    volumeClaimTemplates: Manifest[];
  };
  const { containers, volumes, terminationGracePeriodSeconds } = template.spec as {
    containers: Container[];
    volumes: { name: string; configMap?: { name: string } }[];
    terminationGracePeriodSeconds: number;
  };
  const [container] = containers as [Container];
  const env = Object.fromEntries(
    container.env.map(({ name, valueFrom }) => [
      name,
      valueFrom.fieldRef?.fieldPath === 'status.podIP' ? '10.1.2.3' : 'a-value-of-the-cluster',
    ]),
  );
  const [map] = all.filter(({ kind }) => kind === 'ConfigMap');
  const config = map!.data!['config.yaml']!;
  expect(await check(config, env)).toEqual(VALID);
  const { MQTT_PASSWORD, ...without } = env;
  expect(MQTT_PASSWORD).toBeDefined();
  expect(await check(config, without)).toMatchObject({ code: 1, said: expect.stringContaining('MQTT_PASSWORD') });
  const { http, endpoints, shutdownTimeout, store } = parse(config) as {
    http: { port: number };
    endpoints: { port: number }[];
    shutdownTimeout: number;
    store: { local: { dataPath: string } };
  };
  const [, pause] = container.lifecycle.preStop.exec.command;
  expect((terminationGracePeriodSeconds - Number(pause)) * 1000).toBeGreaterThan(shutdownTimeout);

  const ports = new Map(container.ports.map(({ name, containerPort }) => [name, containerPort]));
  expect([...ports.values()].sort()).toEqual([...endpoints.map(({ port }) => port), http.port].sort());
  const services = all.filter(({ kind }) => kind === 'Service');
  expect(services.map(({ metadata }) => metadata.name)).toContain(serviceName);
  for (const { spec } of services) {
    const { ports: served, selector: chosen } = spec as { ports: { port: number; targetPort: string }[]; selector: object };
    expect(template.metadata.labels).toMatchObject(chosen);
    for (const { port, targetPort } of served) expect(ports.get(targetPort)).toBe(port);
  }
  expect(selector.matchLabels).toEqual(template.metadata.labels);

  const mounted = new Map(container.volumeMounts.map(({ name, mountPath }) => [name, mountPath]));
  expect([...mounted.keys()].sort()).toEqual(
    [...volumes, ...volumeClaimTemplates.map(({ metadata }) => metadata)].map(({ name }) => name).sort(),
  );
  expect(store.local.dataPath.startsWith(`${mounted.get('data')}/`)).toBe(true);
  expect(container.args).toEqual(['start', '--config', `${mounted.get('config')}/config.yaml`]);
  expect(volumes.find(({ name }) => name === 'config')?.configMap?.name).toBe(map!.metadata.name);
  const keys = container.env.flatMap(({ valueFrom }) => (valueFrom.secretKeyRef === undefined ? [] : [valueFrom.secretKeyRef]));
  for (const { name, key } of keys) {
    expect(text('README.md')).toContain(`kubectl create secret generic ${name} `);
    expect(text('README.md')).toContain(`--from-literal=${key}=`);
  }
});

test('Kubernetes: probes and the scrape go to routes that answer without a login, and the start may take its time', async () => {
  const [stateful] = manifests().filter(({ kind }) => kind === 'StatefulSet');
  const { template } = stateful!.spec as {
    template: { metadata: { annotations: Record<string, string> }; spec: { containers: Container[] } };
  };
  const [container] = template.spec.containers as [Container];
  const { metadata } = template;
  expect(metadata.annotations['prometheus.io/port']).toBe(String(container.ports.find(({ name }) => name === 'http')?.containerPort));
  const probes = [container.startupProbe, container.readinessProbe, container.livenessProbe];
  for (const { httpGet } of probes) expect(container.ports.map(({ name }) => name)).toContain(httpGet.port);
  const broker = await startBroker({ config: { http: { host: '127.0.0.1', port: await freePort(), password: 'secret' } } });
  try {
    const paths = [...probes.map(({ httpGet }) => httpGet.path), metadata.annotations['prometheus.io/path']!];
    for (const path of paths) expect((await broker.api('GET', path)).status).toBe(200);
    expect((await broker.api('GET', '/api/cluster/nodes')).status).toBe(401);
  } finally {
    await broker.stop();
  }
  const { periodSeconds, failureThreshold } = container.startupProbe;
  // 20 s for the store, 30 s for the endpoints.
  expect(periodSeconds * failureThreshold).toBeGreaterThan(50);
});

test('systemd: the unit is sound, hardened, and starts what is there with settings that exist', async () => {
  const folder = freshFolder();
  const unit = text('fluxmq.service').replaceAll('/opt/fluxmq', ROOT);
  const file = join(folder, 'fluxmq.service');
  writeFileSync(file, unit);
  const analyze = (...args: string[]) => {
    const { status, stderr } = spawnSync('systemd-analyze', args, { encoding: 'utf8' });
    return { status, stderr };
  };
  expect(analyze('verify', file)).toEqual({ status: 0, stderr: '' });
  // 2.0 or better, of 10.
  expect(analyze('security', '--offline=true', '--threshold=20', file)).toMatchObject({ status: 0 });
  const env = Object.fromEntries([...unit.matchAll(/^Environment=(\w+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value]));
  expect(Object.keys(env).length).toBeGreaterThan(0);
  expect(await check(readFileSync(join(ROOT, 'config.example.yaml'), 'utf8'), env)).toEqual(VALID);
  const value = (key: string) => new RegExp(`^${key}=(.*)$`, 'm').exec(unit)?.[1] ?? '';
  // Everything that it writes is where it may write.
  expect(env['FLUXMQ_STORE_LOCAL_DATAPATH']?.startsWith(`/var/lib/${value('StateDirectory')}/`)).toBe(true);
  expect(env['FLUXMQ_LOG_FILE']?.startsWith(`/var/log/${value('LogsDirectory')}/`)).toBe(true);
  expect(Number(value('LimitNOFILE'))).toBeGreaterThanOrEqual(16_384);
  expect(Number(value('TimeoutStopSec')) * 1000).toBeGreaterThan(10_000);
  expect(value('Restart')).toBe('always');
  expect(value('ExecReload')).toBe('/bin/kill -HUP $MAINPID');
  expect(value('ExecStart')).toContain(' --disable-sigusr1 ');
  for (const command of [value('ExecStart'), value('ExecStartPre')]) {
    const [program = '', ...args] = command.split(' ');
    for (const path of [program, args.find((arg) => arg.endsWith('.js'))]) expect(existsSync(path ?? '')).toBe(true);
  }
  // A fault would have been found.
  writeFileSync(file, unit.replace('ProtectSystem=strict', 'ProtectSytem=strict').replace('RestrictNamespaces=true\n', ''));
  expect(analyze('verify', file).stderr).toContain('ProtectSytem');
  expect(analyze('security', '--offline=true', '--threshold=20', file).status).not.toBe(0);
});

test('Docker: what is copied exists, the entry point is the broker, and its health check tells a healthy broker from none', async () => {
  const dockerfile = text('Dockerfile');
  const [, entry = '[]'] = /^ENTRYPOINT (\[.*\])$/m.exec(dockerfile) ?? [];
  const [, health = '[]'] = /^ {2}CMD (\[.*\])$/m.exec(dockerfile) ?? [];
  const inRoot = (command: string) => (JSON.parse(command) as string[]).map((word) => word.replace('/opt/fluxmq', ROOT));
  expect(inRoot(entry)).toContain('--disable-sigusr1');
  for (const path of inRoot(entry).filter((word) => word.startsWith('/'))) expect(existsSync(path)).toBe(true);
  const [, copied = ''] = /cp -a (.*) \/image\//.exec(dockerfile) ?? [];
  for (const name of copied.split(' ')) expect(existsSync(join(ROOT, name))).toBe(true);
  const broker = await startBroker();
  const [program = '', ...args] = inRoot(health);
  const { port } = new URL(broker.admin);
  const probe = () => promisify(execFile)(program, args, { env: { ...process.env, FLUXMQ_HTTP_PORT: port }, timeout: 10_000 });
  await probe();
  await broker.stop();
  await expect(probe()).rejects.toMatchObject({ code: 1 });
});
