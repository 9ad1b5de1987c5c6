/** The API's own description, and Swagger UI for it from local files. */

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { z } from '@hono/zod-openapi';
import { type Route, type RouteInfo, readRoute } from '../http/route.ts';

const TAG = 'Description';
/** Swagger UI writes style attributes and shows its icons from data URLs. */
const PAGE_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";

/** @param root relative path to the root of the API, which works behind any prefix of a proxy */
const pageOf = (root: string) => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>fluxmq admin API</title>
<link rel="icon" href="${root}docs/favicon-32x32.png">
<link rel="stylesheet" href="${root}docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="${root}docs/swagger-ui-bundle.js"></script>
<script src="${root}docs/start.js"></script>
</body>
</html>
`;

/** validatorUrl null: the page sends nothing to other hosts. */
const START = `SwaggerUIBundle({ url: new URL('../openapi.json', document.currentScript.src).href, dom_id: '#swagger-ui', deepLinking: true, validatorUrl: null });\n`;

const FILES: Record<string, string> = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  'favicon-32x32.png': 'image/png',
};

/**
 * @param staticRoot directory URL; its `docs/` holds Swagger UI's files after a build, else the installed package is used
 * @param description returns the OpenAPI document
 */
export function docsRoutes(staticRoot: URL, description: () => unknown): Route[] {
  const info = (path: string, summary: string): RouteInfo => ({ method: 'get', path, tag: TAG, summary });
  const query = z.object({});
  const text = (path: string, summary: string, type: string, bodyOf: (root: string) => string): Route =>
    readRoute({ ...info(path, summary), query, answer: { raw: { [type]: z.string() } } }, (_query, { root }) => {
      return new Response(bodyOf(root), { headers: { 'content-type': type, 'content-security-policy': PAGE_POLICY } });
    });
  const files = Object.entries(FILES).map(([name, type]) => {
    // The first request reads the file; a failed read is not cached.
    let content: Promise<Uint8Array<ArrayBuffer>> | null = null;
    return readRoute({ ...info(`/docs/${name}`, 'A file of the page'), query, answer: { raw: { [type]: z.string() } } }, async () => {
      content ??= readStatic(staticRoot, name);
      const body = await content.catch((error: unknown) => {
        content = null;
        throw error;
      });
      return new Response(body, { headers: { 'content-type': type, 'cache-control': 'private, max-age=3600' } });
    });
  });
  return [
    readRoute({ ...info('/openapi.json', 'This description'), query, answer: { raw: { 'application/json': z.looseObject({}) } } }, () => {
      return new Response(`${JSON.stringify(description())}\n`, { headers: { 'content-type': 'application/json; charset=utf-8' } });
    }),
    text('/docs', 'Page of the description, works offline', 'text/html; charset=utf-8', pageOf),
    text('/docs/start.js', 'A file of the page', 'text/javascript; charset=utf-8', () => START),
    ...files,
    readRoute(
      { ...info('/', 'Redirects to the description'), query: z.looseObject({}), answer: { status: 302 } },
      (_query, { root }) => new Response(null, { status: 302, headers: { location: `${root}docs` } }),
    ),
  ];
}

async function readStatic(staticRoot: URL, name: string): Promise<Uint8Array<ArrayBuffer>> {
  const built = await readFile(new URL(`docs/${name}`, staticRoot)).catch(ignoreMissing);
  return new Uint8Array(built ?? (await readFile(createRequire(import.meta.url).resolve(`swagger-ui-dist/${name}`))));
}

function ignoreMissing(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null;
  throw error;
}
