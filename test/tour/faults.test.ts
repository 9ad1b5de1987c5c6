/** Starts and changes that must not succeed: a port of somebody else, two changes at once, a configuration with mistakes. */

import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { Authority, certificateFolder } from '../kit/certificates.ts';
import { freePort } from '../kit/free-port.ts';
import { mosquittoPub } from '../kit/mosquitto.ts';
import { until } from '../kit/until.ts';
import { Curl, environment, freshFolder, Started } from './started.ts';

const running = new Set<Started>();
const foreign = new Set<Server>();

afterEach(() => {
  for (const started of running) started.child.kill('SIGKILL');
  running.clear();
  for (const server of foreign) server.close();
  foreign.clear();
});

async function start(folder: string, env: NodeJS.ProcessEnv): Promise<Started> {
  const started = await Started.run('./fluxmq start', folder, env);
  running.add(started);
  return started;
}

/** Another process's listener, as far as the broker can tell. */
async function occupy(port: number): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  foreign.add(server);
  await new Promise<void>((resolve) => server.listen({ port, host: '127.0.0.1', exclusive: true }, resolve));
  return server;
}

function run(program: string, args: string[], cwd: string): Promise<{ code: number; text: string }> {
  return new Promise((resolve) => {
    execFile(program, args, { cwd, timeout: 20_000 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : Number(error.code);
      resolve({ code, text: stdout + stderr });
    });
  });
}

test('a taken endpoint port fails that endpoint alone, and it comes by itself when the port is free', async () => {
  const [admin, port, other] = [await freePort(), await freePort(), await freePort()];
  const taker = await occupy(port);
  await start(freshFolder(), environment(admin, { port }));
  const curl = new Curl(admin);
  expect(await curl.call(`/api/endpoints/status?port=${port}`)).toMatchObject({
    data: [{ state: 'failed', lastError: expect.stringContaining(`Port ${port} is already in use`) }],
  });
  expect(await curl.call(`/api/endpoints/health?port=${port}`)).toMatchObject({
    code: 503,
    message: expect.stringContaining(`Port ${port} is already in use`),
  });
  // For probes: nobody is served yet.
  const unready = { status: 'failed', reasons: ['1 of 1 endpoints are not as configured'] };
  expect(await curl.call('/health')).toMatchObject({ code: 503, data: unready });
  expect(await curl.call('/api/system/health')).toMatchObject({ code: 503, error: { issues: [{ path: String(port) }] } });
  expect(await curl.call(`/api/endpoints/add`, { port, host: '127.0.0.1' })).toMatchObject({ code: 409 });
  await curl.change('add', { port: other, host: '127.0.0.1', enableAuth: false });
  expect(await mosquittoPub(other, ['-t', 'a', '-m', 'b', '-q', '1'])).toBe(0);
  expect(await curl.call('/health')).toMatchObject({ code: 200, data: { status: 'degraded' } });
  const second = await freePort();
  await occupy(second);
  const refused = await curl.call('/api/endpoints/add', { port: second, host: '127.0.0.1', id: 'second' });
  expect(refused).toMatchObject({ code: 409, error: { kind: 'port-in-use' } });
  expect(refused.message).toContain(`Port ${second} is already in use`);
  expect(await curl.call('/api/endpoints/get?id=second')).toMatchObject({ code: 404 });
  await new Promise((resolve) => taker.close(resolve));
  await until('the endpoint listens', async () => (await mosquittoPub(port, ['-t', 'a', '-m', 'b', '-q', '1'])) === 0, 40_000, 300);
}, 60_000);

test('of two changes at once one wins and the other is refused', async () => {
  const [admin, port, one, two] = [await freePort(), await freePort(), await freePort(), await freePort()];
  await start(freshFolder(), environment(admin, { port }));
  const curl = new Curl(admin);
  const added = await Promise.all([1, 2].map(() => curl.call('/api/endpoints/add', { port: one, host: '127.0.0.1' })));
  expect(added.map(({ code }) => code).toSorted()).toEqual([200, 409]);
  const { data } = await curl.call(`/api/endpoints/get?port=${one}`);
  const match = [`If-Match: "${data['revision']}"`];
  // By id: after the first move nothing is on the old port any more.
  const moves = [two, await freePort()].map((newPort) => curl.call('/api/endpoints/update', { id: `mqtt-${one}`, newPort }, match));
  const codes = (await Promise.all(moves)).map(({ code }) => code).toSorted();
  expect(codes[0]).toBe(200);
  expect([409, 412]).toContain(codes[1]);
  // and afterwards the old revision is refused with what is there now
  const late = await curl.call('/api/endpoints/update', { id: `mqtt-${one}`, maxSessionSize: 5 }, match);
  expect(late).toMatchObject({ code: 412, data: { endpoint: { id: `mqtt-${one}` } } });
}, 60_000);

test('a configuration with mistakes does not start, and every mistake is named with its line', async () => {
  const folder = freshFolder();
  mkdirSync(join(folder, 'conf'));
  writeFileSync(join(folder, 'conf/bad.yaml'), 'http: {prot: 80}\nendpoints:\n  - port: 70000\n  - port: 1884\n    hots: 0.0.0.0\n');
  for (const command of ['check', 'start']) {
    const { code, text } = await run('./fluxmq', [command, '--config', 'conf/bad.yaml'], folder);
    expect(code).toBe(1);
    for (const part of ['http.prot', 'endpoints[0].port', 'endpoints[1].hots']) expect(text).toContain(part);
    for (const line of [1, 3, 5]) expect(text).toContain(`bad.yaml:${line}`);
  }
});

test('check tries certificates: one of an endpoint is warned of, one of the admin API keeps the node from starting', async () => {
  const folder = freshFolder();
  const certificate = Authority.root(certificateFolder()).issue('broker', { to: 10 });
  const endpoints = [
    'endpoints:',
    `  - {port: 1883, sslConfig: {cert: ${certificate.cert}, key: nowhere.pem}}`,
    `  - {port: 1884, sslConfig: {cert: ${certificate.cert}, key: ${certificate.key}}}`,
    '  - {port: 1885}',
    '  - {port: 1886, enabled: false, sslConfig: {cert: nowhere.pem, key: nowhere.pem}}',
  ];
  const check = async (ssl: string) => {
    writeFileSync(join(folder, 'tls.yaml'), [`http: {port: 8080, ssl: ${ssl}}`, ...endpoints].join('\n'));
    return run('./fluxmq', ['check', '--config', 'tls.yaml'], folder);
  };
  const { code, text } = await check(`{crt: ${certificate.cert}, key: ${certificate.key}}`);
  expect(text).toMatch(/^warning: http\.ssl: the certificate .*broker expires in \d days/m);
  expect(text).toMatch(/^warning: endpoints\[0\]\.sslConfig\.key: .*no such file.*; endpoint 1883 will not listen until that is fixed$/m);
  expect(text).toMatch(/^warning: endpoints\[1\]\.sslConfig: the certificate .*broker expires in \d days/m);
  expect(text).not.toMatch(/endpoints\[[23]\]/);
  expect([code, text.trimEnd().split('\n').at(-1)]).toEqual([0, 'tls.yaml is valid']);
  const bad = await check('{crt: nowhere.pem, key: nowhere.pem}');
  expect(bad.code).toBe(1);
  expect(bad.text).toMatch(/^tls\.yaml: http\.ssl\.crt: .*no such file.*; the node does not start without it$/m);
  expect(bad.text).not.toContain('is valid');
});

test('a start that the admin API prevents leaves nothing behind: what is mended afterwards counts as written', async () => {
  const folder = freshFolder();
  const [admin, port, second] = [await freePort(), await freePort(), await freePort()];
  const config = (ssl: string, ports: number[]) => {
    const endpoints = ports.map((each) => `  - {port: ${each}, host: 127.0.0.1, enableAuth: false}`);
    writeFileSync(join(folder, 'config.yaml'), [`http: {host: 127.0.0.1, port: ${admin}${ssl}}`, 'endpoints:', ...endpoints].join('\n'));
  };
  config(', ssl: {crt: nowhere.pem}', [port]);
  const failed = await run('./fluxmq', ['start'], folder);
  expect(failed.code).toBe(1);
  expect(failed.text).toContain('nowhere.pem');
  expect(failed.text).not.toMatch(/written to the empty store|listens on/);
  const taker = await occupy(admin);
  config('', [port]);
  expect(await run('./fluxmq', ['start'], folder)).toMatchObject({
    code: 1,
    text: expect.stringContaining(`Port ${admin} is already in use`),
  });
  await new Promise((resolve) => taker.close(resolve));
  config('', [port, second]);
  await start(folder, process.env);
  const { data } = await new Curl(admin).call('/api/endpoints/list');
  expect(data['activePorts']).toEqual([port, second].toSorted((a, b) => a - b));
});

test('a config.yaml of FluxMQ 2.1 starts', async () => {
  const folder = freshFolder();
  const [admin, port] = [await freePort(), await freePort()];
  const lines = [
    `http: {host: 127.0.0.1, port: ${admin}}`,
    'store:',
    '  storeType: LOCAL',
    '  datasource: {url: "jdbc:mysql://localhost:3306/fluxmq", username: root, password: x, driver: com.mysql.cj.jdbc.Driver}',
    'mqtt:',
    `  - {port: ${port}, host: 127.0.0.1, enableAuth: false, serverOptions: {SO_BACKLOG: 256}, childOptions: {TCP_NODELAY: true, SO_RCVBUF: 4096}}`,
  ];
  writeFileSync(join(folder, 'config.yaml'), `${lines.join('\n')}\n`);
  const started = await start(folder, process.env);
  expect(started.output).toContain('SO_RCVBUF');
  expect(await new Curl(admin).call(`/api/endpoints/get?port=${port}`)).toMatchObject({
    data: { endpoint: { serverOptions: { soBacklog: 256 } } },
  });
  expect(await mosquittoPub(port, ['-t', 'a', '-m', 'b', '-q', '1'])).toBe(0);
  expect(await started.stop()).toBe(0);
}, 30_000);
