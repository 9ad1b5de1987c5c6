/** The checker fails when it should: each rule is broken once by a small made-up project. */

import { describe, expect, test } from 'vitest';
import { checkSources } from './checker.ts';
import { importsOf, scan } from './scanner.ts';

const HEAD = '/** For a test. */\n';

/** Breaches of a project given as path → text; each file gets its opening comment. */
function breaches(files: Record<string, string>): string[] {
  return checkSources(Object.entries(files).map(([path, text]) => ({ path, text: HEAD + text })));
}

test('a project without fault has none', () => {
  const found = breaches({
    'src/main.ts': "import { a } from './admin/app.ts';\nimport './storage/open.ts';",
    'src/admin/app.ts': "import { Hono } from 'hono';\nimport type { C } from '../control/contract.ts';\nexport const a = 1;",
    'src/control/contract.ts': "import type { S } from '../storage/contract.ts';\nimport type { E } from '../kernel/errors.ts';",
    'src/storage/endpoint-store.ts': '',
    'src/kernel/errors.ts': "import { once } from 'node:events';",
    'workers/endpoint-worker.ts': "import { open } from './endpoint/listener/tcp.ts';\nimport { c } from './endpoint/client/client.ts';",
    'workers/endpoint/listener/tcp.ts': "import net from 'node:net';\nimport type { C } from '../connection/connection.ts';",
    'workers/endpoint/client/client.ts':
      "import type { C } from '../connection/connection.ts';\nimport { m } from '../../../src/mqtt/framer.ts';",
    'workers/endpoint/connection/connection.ts': '',
    'src/mqtt/framer.ts': '',
  });
  expect(found).toEqual([]);
});

describe('arrows', () => {
  test.each([
    ['src/kernel/a.ts', '../endpoint/endpoint.ts', 'kernel may not import endpoint'],
    ['src/admin/a.ts', '../storage/contract.ts', 'admin may not import storage'],
    ['src/admin/deep/a.ts', '../../thread/messages.ts', 'admin may not import thread'],
    ['src/control/a.ts', '../admin/app.ts', 'control may not import admin'],
    ['src/storage/a.ts', '../thread/messages.ts', 'storage may not import thread'],
    ['src/settings/a.ts', '../control/contract.ts', 'settings may not import control'],
    ['src/control/a.ts', '../main.ts', 'control may not import main'],
    ['src/attic/a.ts', '../kernel/errors.ts', 'the room attic has no place in the rules'],
    ['src/control/a.ts', '../../workers/connection.ts', 'src may not import workers'],
    ['src/control/a.ts', '../../test/kit/a.ts', 'src may not import test'],
    ['workers/client/a.ts', '../../src/control/contract.ts', 'workers may not import control'],
    ['workers/session/a.ts', '../../src/storage/endpoint-store.ts', 'workers may not import storage'],
    ['workers/endpoint/client/a.ts', '../listener/tcp.ts', 'in workers/endpoint, client may not import listener'],
    ['workers/endpoint/listener/a.ts', '../client/client.ts', 'in workers/endpoint, listener may not import client'],
    ['workers/endpoint/client/a.ts', '../../endpoint-worker.ts', 'a floor of workers may not import what puts the floors together'],
    ['workers/shared/session/a.ts', '../../host/disk/open.ts', 'in workers, shared may not import host'],
    ['workers/endpoint/client/a.ts', '../../host/disk/open.ts', 'in workers, endpoint may not import host'],
    [
      'workers/shared/session/flight/a.ts',
      '../session.ts',
      'a floor of workers/shared/session may not import what puts the floors together',
    ],
  ])('%s → %s', (from, to, why) => {
    const found = breaches({ [from]: `\nimport type { X } from '${to}';` });
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(`${from}:3: imports`);
    expect(found[0]).toContain(why);
  });

  test.each([
    "export { a } from '../admin/a.ts';",
    "export * from '../admin/a.ts';",
    "const a = await import('../admin/a.ts');",
    "import '../admin/a.ts';",
  ])('are seen in %s', (text) => {
    expect(breaches({ 'src/kernel/b.ts': text })).toHaveLength(1);
  });

  test('over several lines are seen, in comments and strings are not', () => {
    expect(breaches({ 'src/kernel/b.ts': "import {\n  a,\n  b,\n} from '../admin/a.ts';" })).toHaveLength(1);
    expect(breaches({ 'src/kernel/b.ts': "// import { a } from '../admin/a.ts';\n/* import '../admin/a.ts' */" })).toEqual([]);
  });
});

describe('floors', () => {
  test.each([
    ['src/control/state/a.ts', '../changes/b.ts', 'in src/control, state may not import changes'],
    ['src/control/contract/a.ts', '../state/b.ts', 'in src/control, contract may not import state'],
    ['src/control/tls/a.ts', '../start-control.ts', 'a floor of src/control may not import what puts the floors together'],
    ['src/control/cellar/a.ts', '../tls/b.ts', 'the floor cellar of src/control has no place in the rules'],
  ])('%s → %s', (from, to, why) => {
    const found = breaches({ [from]: `import type { X } from '${to}';` });
    expect(found).toEqual([expect.stringMatching(new RegExp(`^${from}:2: imports .*: ${why}$`))]);
  });

  test('that fall, and files that put floors together, are fine', () => {
    const found = breaches({
      'src/control/start-control.ts': "import './changes/a.ts';\nimport './contract/a.ts';",
      'src/control/changes/a.ts': "import '../state/a.ts';\nimport '../../kernel/a.ts';\nimport './b.ts';",
      'src/control/state/a.ts': "import '../contract/a.ts';",
    });
    expect(found).toEqual([]);
  });
});

describe('circles', () => {
  test('of two and of three files, type imports included', () => {
    expect(breaches({ 'src/kernel/a.ts': "import type { B } from './b.ts';", 'src/kernel/b.ts': "import { A } from './a.ts';" })).toEqual([
      'circle: src/kernel/a.ts → src/kernel/b.ts → src/kernel/a.ts',
    ]);
    const three = breaches({
      'workers/session/a.ts': "import './b.ts';",
      'workers/session/b.ts': "import './c.ts';",
      'workers/session/c.ts': "import './a.ts';",
    });
    expect(three).toHaveLength(1);
  });

  test('two ways to one file are none', () => {
    const found = breaches({
      'src/kernel/a.ts': "import './b.ts';\nimport './c.ts';",
      'src/kernel/b.ts': "import './d.ts';",
      'src/kernel/c.ts': "import './d.ts';",
      'src/kernel/d.ts': '',
    });
    expect(found).toEqual([]);
  });
});

describe('libraries', () => {
  test.each([
    ['src/control/a.ts', 'hono/cors', 'hono belongs into src/admin/'],
    ['src/kernel/a.ts', 'zod', 'zod belongs into'],
    ['workers/client/a.ts', 'mqtt-connection', 'mqtt-connection has no place in the rules'],
    ['src/mqtt/a.ts', 'nats', 'nats belongs into src/bus/nats/, src/storage/jetstream/'],
    ['workers/client/a.ts', 'yaml', 'yaml belongs into src/settings/'],
    ['src/control/a.ts', 'left-pad', 'left-pad has no place in the rules'],
    ['workers/client/a.ts', 'node:net', 'sockets are opened in workers/endpoint/listener/ alone'],
  ])('%s imports %s', (from, library, why) => {
    const found = breaches({ [from]: `import '${library}';` });
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(why);
  });

  test('types of sockets are no sockets', () => {
    const harmless = "import type { Socket } from 'node:net';\nimport { type Server } from 'node:net';";
    expect(breaches({ 'workers/client/a.ts': harmless })).toEqual([]);
    expect(breaches({ 'workers/client/a.ts': "import { type Server, connect } from 'node:net';" })).toHaveLength(1);
  });

  test('piscina in two files', () => {
    const found = breaches({ 'src/control/a.ts': "import { Piscina } from 'piscina';", 'src/control/b.ts': "import 'piscina';" });
    expect(found).toEqual(['piscina is imported in 2 files, one is allowed: src/control/a.ts, src/control/b.ts']);
  });
});

describe('shape', () => {
  test('450 lines are allowed, 451 are not', () => {
    expect(breaches({ 'src/kernel/a.ts': 'x\n'.repeat(449) })).toEqual([]);
    expect(breaches({ 'src/kernel/a.ts': 'x\n'.repeat(450) })).toEqual(['src/kernel/a.ts:451: has 451 lines, 450 are allowed']);
  });

  test('12 files in a folder are allowed, 13 are not', () => {
    const folder = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`src/kernel/f${index}.ts`, '']));
    expect(breaches(folder(12))).toEqual([]);
    expect(breaches(folder(13))).toEqual(['src/kernel: has 13 files, 12 are allowed']);
  });

  test('the opening comment and the name', () => {
    expect(checkSources([{ path: 'src/kernel/a.ts', text: 'export const a = 1;\n' }])).toHaveLength(1);
    expect(breaches({ 'src/kernel/BadName.ts': '' })).toEqual(['src/kernel/BadName.ts:1: its name is not kebab-case']);
    expect(breaches({ 'src/kernel/bad_name.ts': '' })).toHaveLength(1);
  });
});

describe('words', () => {
  const word = (...parts: string[]) => parts.join('');

  test.each([
    ['let a: any = 1;'],
    ['const b = c as any;'],
    ['function f(a: Map<string, any>) {}'],
    ['let d: any[] = [];'],
    [`${word('con', 'sole')}.log(1);`],
    ['export default {};'],
    [`// ${word('TO', 'DO')}: later`],
    [`const a = '${word('FIX', 'ME')}';`],
    [`/* ${word('XX', 'X')} */`],
    [`// ${word('HA', 'CK')}`],
  ])('%s', (text) => {
    const found = breaches({ 'src/kernel/a.ts': text });
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(/^src\/kernel\/a\.ts:2: /);
  });

  test.each([
    ['test', 'skip'],
    ['it', 'only'],
    ['describe', 'skip'],
    ['test', 'todo'],
  ])('%s.%s in a test', (what, how) => {
    expect(breaches({ 'test/unit/a.test.ts': `${what}.${how}('x', () => {});` })).toHaveLength(1);
    expect(breaches({ 'src/mqtt/a.ts': `${what}.${how}(1);` })).toEqual([]);
  });

  test.each(["it('x', () => {});", 'it.each([1])(', "  it('x',"])('%s in a test: the word is test', (text) => {
    expect(breaches({ 'test/unit/a.test.ts': text })).toEqual(['test/unit/a.test.ts:2: it: write test, the word of all other tests']);
    expect(breaches({ 'test/unit/a.test.ts': `wait(1); split('x'); a.it(1); // it('x')` })).toEqual([]);
  });

  test.each([
    ['// any comment may say any word'],
    ['const a = \'any \' + "console.log";'],
    ['const b = `any ${c} any`;'],
    ['await Promise.any(all);'],
    ['const company = many;'],
    ['const d = { any: 1 };'],
    ['const e = /["\'] any/.test(f);'],
  ])('%s is fine', (text) => {
    expect(breaches({ 'src/kernel/a.ts': text })).toEqual([]);
  });
});

describe('what Node does not document', () => {
  test.each(["const found = process.binding('tcp_wrap');", 'const raw = socket._parent;', 'server._handle?.listen(1);'])(
    '%s stands in one room',
    (line) => {
      const text = `/** A. */\n${line}\n`;
      const why = 'uses what Node does not document: that belongs into src/internals/';
      expect(checkSources([{ path: 'workers/listener/a.ts', text }])).toEqual([`workers/listener/a.ts:2: ${why}`]);
      expect(checkSources([{ path: 'src/internals/a.ts', text }])).toEqual([]);
    },
  );
});

describe('clocks', () => {
  test.each([
    'const a = Date.now();',
    'const a = { now: Date.now };',
    'const a = new Date();',
    'const a = new Date;',
    'const a = Date();',
    'const a = performance.now();',
    'const a = performance.timeOrigin;',
    'const a = process.hrtime.bigint();',
  ])('%s is for the clock alone', (text) => {
    expect(breaches({ 'workers/session/a.ts': text, 'test/unit/a.test.ts': text, 'src/kernel/clock.ts': text })).toEqual([
      'workers/session/a.ts:2: reads a clock by itself: src/kernel/clock.ts has steadyNow() for spans and wallNow()',
    ]);
  });

  test.each(['const a = new Date(b).toISOString();', 'const a = steadyNow();', 'const a = Date.UTC(2000, 1);', '// Date.now()'])(
    '%s is fine',
    (text) => {
      expect(breaches({ 'workers/session/a.ts': text })).toEqual([]);
    },
  );

  test('the wall clock is read by listed files alone', () => {
    const text = "import { wallNow } from './clock.ts';";
    expect(breaches({ 'src/kernel/a.ts': text })).toEqual([
      'src/kernel/a.ts:2: may not read the wall clock: spans are measured by steadyNow()',
    ]);
    expect(breaches({ 'src/metrics/report.ts': "import { wallNow } from '../kernel/clock.ts';" })).toEqual([]);
  });
});

describe('scanner', () => {
  test('keeps code after templates, regular expressions and divisions', () => {
    const text = 'const a = `x ${b ? `y ${"}"}` : {c: 1}.c} // no`; const d = e / f / g; const h = /[/"]/; const i = 2; // gone';
    const { codeOnly, withoutComments } = scan(text);
    expect(codeOnly).toHaveLength(text.length);
    for (const part of ['const a', 'b ?', 'const d = e / f / g;', 'const h', 'const i = 2;']) expect(codeOnly).toContain(part);
    expect(codeOnly).not.toContain('no');
    expect(withoutComments).toContain('// no`');
    expect(withoutComments).not.toContain('gone');
  });

  test('finds each import once with its line', () => {
    expect(importsOf(scan("import a from 'x';\nexport * from 'y';\nimport 'z';\nawait import('w');"))).toEqual([
      { name: 'x', line: 1, clause: 'a from' },
      { name: 'y', line: 2, clause: '* from' },
      { name: 'z', line: 3, clause: '' },
      { name: 'w', line: 4, clause: '(' },
    ]);
    expect(importsOf(scan("type A = 'export' | 'import' | 'x';"))).toEqual([]);
  });
});
