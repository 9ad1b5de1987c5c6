/** What `fluxmq` says, and with which exit code it ends, when something is wrong: arguments, the request, the login, the broker. */

import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { freePort } from '../../kit/free-port.ts';
import { useBroker } from '../../kit/lanes.ts';
import { commandIn, printed, type RunOptions } from './command.ts';

const PASSWORD = 'correct horse';
const login = { username: 'root', password: PASSWORD, viewers: [{ username: 'guest', password: 'look' }] };
const http = { host: '127.0.0.1', port: await freePort(), ...login };
const held = useBroker(() => ({ endpoints: [{ id: 'first', enableAuth: false, isDefault: true }], config: { http } }));
const run = commandIn(() => held.broker.dir);
const servers: Server[] = [];
afterAll(() => {
  for (const server of servers) server.close();
});

test.each([
  ['endpoint', /usage: .\/fluxmq endpoint COMMAND/],
  ['endpoint lits', /unknown command: endpoint lits \(did you mean list\?\)/],
  ['edpoint', /unknown command: edpoint \(did you mean endpoint\?\)/],
  ['endpoint --json list', /options follow the command/],
  ['endpoint list --jsn', /unknown option: --jsn \(did you mean --json\?\)/],
  ['endpoint list --json=1', /--json takes no value/],
  ['endpoint list --api', /--api needs a value: --api URL/],
  ['endpoint list --api x --api y', /--api is given more than once/],
  ['endpoint list --api ftp://a', /expected an address such as http/],
  ['endpoint list --api http://a:b@localhost', /holds a login/],
  ['endpoint list --api http://127.0.0.1:1 --config config.yaml', /not both/],
  ['endpoint list --config none.yaml', /none\.yaml: there is no such file/],
  ['endpoint list surplus', /unexpected: surplus/],
  ['endpoint list --password secret', /--password is refused on the command line, where others can read it/],
  ['endpoint list --timeout 30', /expected a time with its unit/],
  ['endpoint list --timeout 6m', /expected 1ms to 5m/],
  ['endpoint list --user a', /there is no password for a/],
  ['endpoint get', /which endpoint\?/],
  ['endpoint get 70000', /70000 is no port/],
  ['endpoint get a/b', /neither a port nor an id/],
  ['endpoint add', /which port\?/],
  ['endpoint add port=1 =3', /=3: expected KEY=VALUE/],
  ['endpoint add port=1 host=', /host= has no value: host=null sets the default/],
  ['endpoint add port=1 port=2', /port is given more than once/],
  ['endpoint add port=1 serverOptions=1 serverOptions.soBacklog=2', /serverOptions is also given as a whole/],
  ['endpoint add port=1 aclConfig={', /is not JSON/],
  ['endpoint add --file none.yaml', /none\.yaml: there is no such file/],
  ['endpoint update first', /nothing to change/],
  ['endpoint update first port=4000', /newPort= moves it/],
  ['endpoint update first wiretap=true --if-match x', /expected a revision/],
  ['endpoint update first wiretap=true --confirm-within 100ms', /expected 1s to 24h/],
  ['endpoint plan', /which action\?/],
  ['endpoint plan updat first a=1', /unknown action: updat \(did you mean update\?\)/],
  ['endpoint diff', /which revision\?/],
  ['endpoint diff x', /x is no revision/],
  ['endpoint rollback 1', /there is no terminal to ask on: give --yes/],
  ['acl tst', /unknown command: acl tst \(did you mean test\?\)/],
  ['acl test', /which endpoint\?/],
  ['acl test first', /expected publish or subscribe behind the endpoint/],
  ['acl test first publish', /which topic\?/],
  ['acl test first subscribe a b', /unexpected: b/],
  ['acl test first publish a --qos 3', /--qos 3: expected 0, 1 or 2/],
  ['import', /which file\?/],
  ['import none.json', /there is no such file/],
  ['import config.yaml --mode both', /expected merge or replace/],
  ['import --from-fluxmq', /needs --url and --username/],
  ['import --url x config.yaml', /belong to --from-fluxmq/],
  ['export --secrets all', /expected mask or include/],
  ['completion', /which shell\?/],
  ['completion bsh', /unknown shell: bsh \(did you mean bash\?\)/],
])('wrong arguments: fluxmq %s', async (line, why) => {
  const ended = await run(line);
  expect(ended).toMatchObject({ code: 2, stdout: '' });
  expect(ended.stderr).toMatch(why);
});

test('a refused request ends with 1, and every problem is shown', async () => {
  const bad = await run('endpoint update first maxConnectonSize=5 wiretap=maybe maxSessionSize=0');
  expect(bad).toMatchObject({ code: 1, stdout: '' });
  for (const part of [
    'maxConnectonSize: unknown key (did you mean maxConnectionSize?)',
    'wiretap: must be true or false',
    'maxSessionSize: ',
  ]) {
    expect(bad.stderr).toContain(`\n  ${part}`);
  }
  for (const [line, why] of [
    ['endpoint get nobody', 'nobody'],
    [`endpoint add port=${held.broker.ports[0]}`, String(held.broker.ports[0])],
    ['endpoint remove first', 'default endpoint'],
    ['endpoint update first wiretap=false --if-match 99', 'revision 99 is not the current one'],
    ['endpoint history --limit 5000', 'limit: expected 1..1000'],
  ] as const) {
    const ended = await run(line);
    expect(ended, line).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toContain(why);
  }
});

test('no broker there, one that hangs up, something else that answers: 3', async () => {
  const nobody = await freePort();
  expect(await run(`endpoint list --api 127.0.0.1:${nobody}`)).toMatchObject({
    code: 3,
    stderr: `fluxmq: no answer from http://127.0.0.1:${nobody}: nothing listens there: is the broker running?\n`,
  });
  const answers = async (respond: string | null): Promise<string> => {
    const server = createServer((socket) =>
      socket.on('error', () => {}).once('data', () => (respond === null ? socket.destroy() : socket.end(respond))),
    );
    servers.push(server);
    await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1' }, resolve));
    return `127.0.0.1:${(server.address() as { port: number }).port}`;
  };
  const away = await run(`endpoint remove first --api ${await answers(null)}`);
  expect(away.code).toBe(3);
  expect(away.stderr).toContain('the change may have been made nevertheless');
  const foreign = await run(`endpoint list --api ${await answers('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi')}`);
  expect(foreign).toMatchObject({ code: 3, stderr: expect.stringContaining('answers 200, but is not fluxmq') });
  expect((await run(`endpoint list --api ${await answers('SSH-2.0-x\r\n')}`)).code).toBe(3);
  expect((await run('endpoint list --api host.invalid')).code).toBe(3);
});

test('--timeout is how long a question is waited for; a change may be answered a little later', async () => {
  const silent = createServer((socket) => socket.on('error', () => {}));
  servers.push(silent);
  await new Promise<void>((resolve) => silent.listen({ port: 0, host: '127.0.0.1' }, resolve));
  const api = `127.0.0.1:${(silent.address() as { port: number }).port}`;
  const asked = await run(`endpoint list --timeout 300ms --api ${api}`);
  expect(asked).toMatchObject({ code: 3, stderr: `fluxmq: no answer from http://${api}: no answer within 0.3 s\n` });
  const changed = await run(`endpoint remove first --timeout 300ms --api ${api}`);
  expect(changed).toMatchObject({ code: 3, stderr: expect.stringContaining('no answer within 7.3 s') });
  expect(changed.stderr).toContain('the change may have been made nevertheless');
}, 30_000);

/** A command that knows the broker's address, and no login. */
const there = (line: string, options: RunOptions = {}) => run(`${line} --api http://127.0.0.1:${http.port}`, { cwd: '/', ...options });

test('logins: from the configuration, environment, files and tokens; wrong ones and viewers end with 4', async () => {
  const { broker } = held;
  printed(await run('endpoint list'));
  const none = await there('endpoint list');
  expect(none).toMatchObject({ code: 4, stdout: '' });
  expect(none.stderr).toContain('give --user and FLUXMQ_API_PASSWORD or --password-file');
  expect(await there('endpoint list --user root', { env: { FLUXMQ_API_PASSWORD: 'wrong' } })).toMatchObject({
    code: 4,
    stderr: 'fluxmq: Wrong user name or password\n',
  });
  printed(await there('endpoint list --user root', { env: { FLUXMQ_API_PASSWORD: PASSWORD } }));
  printed(await there('endpoint list', { env: { FLUXMQ_API_USER: 'root', FLUXMQ_API_PASSWORD: PASSWORD } }));
  printed(await there('endpoint list --user root --password-file -', { input: `${PASSWORD}\n` }));
  const file = join(broker.dir, 'secret');
  writeFileSync(file, `${PASSWORD}\n`, { mode: 0o600 });
  printed(await there(`endpoint list --user root --password-file ${file}`));
  const answer = await broker.api('POST', '/public/login', { username: 'root', password: PASSWORD });
  const token = (answer.body as { data: { token: string } }).data.token;
  printed(await there('endpoint list', { env: { FLUXMQ_API_TOKEN: token } }));
  writeFileSync(file, token);
  printed(await there(`endpoint list --token-file ${file}`));
  const viewer = { FLUXMQ_API_PASSWORD: 'look' };
  printed(await there('endpoint list --user guest', { env: viewer }));
  expect(await there('endpoint disable first --user guest', { env: viewer })).toMatchObject({
    code: 4,
    stderr: expect.stringContaining('viewer may only read'),
  });
  expect(printed(await run('endpoint history'))).toContain('first');
});

test('the process has the exit code, the two outputs, the environment and the standard input', async () => {
  const ownProcess = true;
  const [listed, wrong, refused, nobody, piped] = await Promise.all([
    run('endpoint list -q', { ownProcess }),
    run('endpoint lits', { ownProcess }),
    run('endpoint get nobody', { ownProcess }),
    there('endpoint list', { ownProcess }),
    there('endpoint list -q --password-file -', { env: { FLUXMQ_API_USER: 'root' }, input: `${PASSWORD}\n`, ownProcess }),
  ]);
  const onlyFirst = { code: 0, stdout: 'first\n', stderr: '' };
  expect([listed, piped]).toEqual([onlyFirst, onlyFirst]);
  expect(wrong).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(/^fluxmq: unknown command: endpoint lits/) });
  expect(refused).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('nobody') });
  expect(nobody).toMatchObject({ code: 4, stdout: '' });
});

test('help: of the group, of every command, with an example that names it', async () => {
  const group = printed(await run('endpoint --help'));
  const names = [...group.matchAll(/^ {2}([a-z]+) /gm)].map(([, name]) => name!);
  expect(names).toEqual(
    expect.arrayContaining([
      'list',
      'get',
      'add',
      'update',
      'remove',
      'enable',
      'disable',
      'status',
      'history',
      'diff',
      'rollback',
      'confirm',
      'plan',
    ]),
  );
  for (const name of [...names.map((name) => `endpoint ${name}`), 'export', 'import', 'backup', 'restore', 'completion']) {
    const text = printed(await run(`${name} --help`));
    expect(text).toContain(`usage: ./fluxmq ${name}`);
    expect(text).toMatch(new RegExp(`examples:\\n {2}\\./fluxmq ${name}`));
    for (const line of text.split('\n')) expect(line.length, line).toBeLessThanOrEqual(120);
  }
  expect(printed(await run('help endpoint diff'))).toBe(printed(await run('endpoint diff --help')));
}, 60_000);
