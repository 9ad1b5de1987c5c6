/** A change's body: what it says about the change and about the endpoint, with every problem of both at once. */

import { describe, expect, test } from 'vitest';
import { readAdd, readKeyBody, readUpdate } from '../../../../src/control/changes/change-body.ts';
import { FluxError } from '../../../../src/kernel/errors.ts';

function problemsOf(read: () => unknown): { kind: string; paths: string[] } {
  try {
    read();
  } catch (error) {
    if (error instanceof FluxError) return { kind: error.kind, paths: error.issues.map(({ path }) => path).toSorted() };
  }
  return { kind: 'none', paths: [] };
}

describe('the body of a change', () => {
  test('options and endpoint are told apart', () => {
    expect(readAdd({ port: 1883, drainMs: 5, force: true, reason: 'why' })).toEqual({
      options: { drainMs: 5, drainRate: null, redirect: null, force: true, reason: 'why' },
      input: { port: 1883 },
    });
    expect(readUpdate({ port: 1883, newPort: 1884 })).toMatchObject({ key: { port: 1883 }, patch: { newPort: 1884 } });
  });

  test('problems of the options and of the endpoint come in one answer', () => {
    expect(problemsOf(() => readAdd({ port: 0, drainMs: -1, colour: 'red' }))).toEqual({
      kind: 'invalid',
      paths: ['colour', 'drainMs', 'port'],
    });
    expect(problemsOf(() => readUpdate({ port: 1883, force: 1, host: 7, newPort: 70_000 }))).toEqual({
      kind: 'invalid',
      paths: ['force', 'host', 'newPort'],
    });
    expect(problemsOf(() => readKeyBody({ drainMs: 'x', colour: 1 }))).toEqual({ kind: 'invalid', paths: ['colour', 'drainMs'] });
  });

  test('a drain has a time or a rate, and a place to go that can be said in a packet', () => {
    expect(readKeyBody({ id: 'a', drainRate: 50, redirect: 'mqtt.example:1883' }).options).toMatchObject({
      drainMs: 0,
      drainRate: 50,
      redirect: 'mqtt.example:1883',
    });
    expect(problemsOf(() => readKeyBody({ id: 'a', drainRate: 50, drainMs: 5, redirect: 'a\0b' }))).toEqual({
      kind: 'invalid',
      paths: ['drainRate', 'redirect'],
    });
    expect(problemsOf(() => readKeyBody({ id: 'a', drainRate: 0, redirect: '' }))).toEqual({
      kind: 'invalid',
      paths: ['drainRate', 'redirect'],
    });
  });
});
