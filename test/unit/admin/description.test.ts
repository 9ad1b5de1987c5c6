/** The OpenAPI description matches what is registered and what an endpoint is; the page for it needs no other host. */

import { Validator } from '@seriousme/openapi-schema-validator';
import { describe, expect, test } from 'vitest';
import { parseEndpoint, toPublicEndpoint } from '../../../src/endpoint/schema.ts';
import { allRoutes, appWith, ask } from './stand-in.ts';

interface Operation {
  operationId: string;
  summary: string;
  security: unknown[];
  parameters?: { name: string; in: string; schema: unknown; description?: string }[];
  requestBody?: { content: Record<string, { schema: unknown; example: unknown }> };
  responses: Record<string, { description: string; content?: Record<string, { schema: unknown }> }>;
}
interface Description {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: {
    schemas: Record<string, { properties?: Record<string, unknown>; required?: string[] }>;
    securitySchemes: Record<string, unknown>;
  };
}

async function description(): Promise<Description> {
  const { body } = await ask(appWith().app, 'GET', '/openapi.json');
  return body as unknown as Description;
}

function operations(api: Description): [string, Operation][] {
  return Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): [string, Operation] => [`${method.toUpperCase()} ${path}`, operation]),
  );
}

describe('/openapi.json', () => {
  test('describes every registered route but its aliases, and no other', async () => {
    const registered = appWith()
      .app.routes.filter(({ path }) => path !== '/*')
      .map(({ method, path }) => `${method} ${path}`);
    const documented = operations(await description()).map(([route]) => route);
    const aliases = registered.filter((route) => / \/endpoints\//.test(route));
    expect(documented.sort()).toEqual(registered.filter((route) => !aliases.includes(route)).sort());
    expect(aliases).toContain('POST /endpoints/add');
    expect(documented).toEqual(expect.arrayContaining(aliases.map((route) => route.replace(' /', ' /api/'))));
  });

  test('is a valid OpenAPI document', async () => {
    const result = await new Validator().validate(structuredClone(await description()) as unknown as Record<string, unknown>);
    expect(result).toEqual({ valid: true });
    const broken = await new Validator().validate({ openapi: '3.1.0', info: { title: 'without a version' }, paths: {} });
    expect(broken.valid).toBe(false);
  });

  test('names each operation as a function would be named', async () => {
    const ids = operations(await description()).map(([route, { operationId }]) => [route, operationId] as const);
    for (const [route, id] of ids) expect(id, route).toMatch(/^[a-z][A-Za-z0-9]{3,27}$/);
    expect(Object.fromEntries(ids)).toMatchObject({ 'POST /api/endpoints/add': 'addEndpoint', 'GET /api/clients': 'listClients' });
    const fromPath = ids.filter(([, id]) => /^(api|public)/.test(id));
    expect(fromPath).toEqual([]);
  });

  test('every reference leads somewhere, and every operation is whole', async () => {
    const api = await description();
    expect(api.openapi).toBe('3.1.0');
    for (const [, name] of JSON.stringify(api).matchAll(/"#\/components\/schemas\/([^"]+)"/g))
      expect(api.components.schemas).toHaveProperty(name!);
    const all = operations(api);
    for (const [route, operation] of all) {
      expect(operation.summary, route).not.toBe('');
      expect(operation.responses, route).toHaveProperty('400');
      for (const response of Object.values(operation.responses)) expect(response.description, route).not.toBe('');
      if (operation.requestBody !== undefined) expect(operation.requestBody.content['application/json']?.example, route).toBeDefined();
    }
    expect(new Set(all.map(([, operation]) => operation.operationId)).size).toBe(all.length);
  });

  test('the example of each body is one that its schema accepts', () => {
    const examples = allRoutes().flatMap(({ path, body }) =>
      body === null ? [] : [{ path, error: body.schema.safeParse(body.example).error }],
    );
    expect(examples.length).toBeGreaterThan(10);
    expect(examples.filter(({ error }) => error !== undefined)).toEqual([]);
  });

  test('names the login of a route, and what a change takes', async () => {
    const { paths, components } = await description();
    expect(Object.keys(components.securitySchemes)).toEqual(['basic', 'bearer']);
    expect(paths['/health']?.['get']?.security).toEqual([]);
    const add = paths['/api/endpoints/add']?.['post'];
    expect(add?.security).toEqual([{ basic: [] }, { bearer: [] }]);
    expect(add?.parameters?.map(({ name }) => name).sort()).toEqual(['If-Match', 'X-Reason', 'confirmWithin', 'policy', 'timeout', 'wait']);
    expect(Object.keys(add?.responses ?? {})).toEqual(
      expect.arrayContaining(['200', '400', '401', '409', '412', '413', '415', '422', '429', '503']),
    );
    const port = paths['/api/endpoints/get']?.['get']?.parameters?.find((parameter) => parameter.name === 'port');
    expect(port?.schema).toMatchObject({ type: 'integer', minimum: 1, maximum: 65535 });
  });

  test('has exactly the keys of an endpoint', async () => {
    const { components } = await description();
    const endpoint = toPublicEndpoint(parseEndpoint({ port: 1883 }).endpoint);
    expect(Object.keys(components.schemas['Endpoint']?.properties ?? {}).sort()).toEqual(Object.keys(endpoint).sort());
    expect(components.schemas['Endpoint']?.required?.sort()).toEqual(Object.keys(endpoint).sort());
  });

  test('requires of a request only what is required: the port of a new endpoint', async () => {
    const { components } = await description();
    expect(components.schemas['EndpointPatch']?.required).toBeUndefined();
    expect(components.schemas['NewEndpoint']).toMatchObject({
      allOf: [{ $ref: '#/components/schemas/EndpointPatch' }, { required: ['port'] }],
    });
    const { serverOptions, childOptions, sslConfig } = components.schemas['EndpointPatch']?.properties ?? {};
    for (const group of [serverOptions, childOptions, sslConfig]) {
      expect(group).toMatchObject({ type: ['object', 'null'] });
      expect(group).not.toHaveProperty('required');
    }
  });

  test('has the values, the default and the effect of each key, and null where null means the default', async () => {
    const { components } = await description();
    const { EndpointPatch: patch, Endpoint: whole } = components.schemas;
    expect(patch?.properties?.['maxConnectionSize']).toEqual({
      type: ['integer', 'null'],
      minimum: 1,
      maximum: 10_000_000,
      description: 'Clients at once, per node. Default: 1000. Change: live',
    });
    expect(whole?.properties?.['maxConnectionSize']).toMatchObject({ type: 'integer' });
    expect(whole?.properties?.['maxConnectionPerAddress']).toMatchObject({ type: ['integer', 'null'] });
    expect(patch?.properties?.['id']).toMatchObject({ pattern: '^[A-Za-z0-9_.-]{1,64}$' });
  });

  test('has the types of authConfig and aclConfig', async () => {
    const { components } = await description();
    for (const name of ['Endpoint', 'EndpointPatch']) {
      const { authConfig, aclConfig } = components.schemas[name]?.properties ?? {};
      for (const config of [authConfig, aclConfig]) expect(JSON.stringify(config), name).toContain('"null"');
      expect(JSON.stringify(authConfig), name).toMatch(/schemas\/(New)?User"/);
      expect(JSON.stringify(aclConfig), name).toMatch(/schemas\/(New)?Rule"/);
    }
    expect(components.schemas['NewUser']?.required).toEqual(['username', 'password']);
    expect(components.schemas['NewRule']?.required).toEqual(['permission', 'subject', 'topic']);
  });
});

describe('/docs', () => {
  test('loads only files that are served here', async () => {
    const { app } = appWith();
    const page = await app.request('/docs', { headers: { host: 'localhost' } });
    const html = await page.text();
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    const files = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1]!);
    expect(files).toHaveLength(4);
    for (const file of files) {
      const response = await app.request(file, { headers: { host: 'localhost' } });
      expect([file, response.status]).toEqual([file, 200]);
      expect((await response.arrayBuffer()).byteLength).toBeGreaterThan(100);
    }
  });

  test('/ leads there', async () => {
    const { status, headers } = await ask(appWith().app, 'GET', '/');
    expect([status, headers.get('location')]).toEqual([302, './docs']);
  });
});
