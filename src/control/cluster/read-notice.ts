/** Reads what came over the bus: anything may be published there, so that nothing is believed to have a form. */

import { isObject } from '../../endpoint/problems.ts';
import type { Announcement, NodeFacts, Receipt } from './contract.ts';

const TEXT_MAX = 4096;
const IDS_MAX = 100_000;

const isText = (value: unknown): value is string => typeof value === 'string' && value.length <= TEXT_MAX;
const isName = (value: unknown): value is string => isText(value) && value !== '' && value.length <= 256;
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isNames = (value: unknown): value is string[] => Array.isArray(value) && value.length <= IDS_MAX && value.every(isName);

/** Null when it is not what a node says of itself. Keys that this version does not know are left out. */
export function readFacts(body: unknown): NodeFacts | null {
  if (!isObject(body)) return null;
  const { name, incarnation, address, adminPort, version, upSince, revision, status, storeOk, failed } = body;
  if (!isName(name) || !isName(incarnation) || !isText(address) || !isName(version)) return null;
  if (!isCount(adminPort) || !isCount(upSince) || !isCount(revision) || !isNames(failed) || typeof storeOk !== 'boolean') return null;
  if (status !== 'ok' && status !== 'degraded' && status !== 'failed') return null;
  return { name, incarnation, address, adminPort, version, upSince, revision, status, storeOk, failed };
}

/** Null when it announces nothing. */
export function readAnnouncement(body: unknown): Announcement | null {
  if (!isObject(body)) return null;
  const { revision, ids, incarnation, request } = body;
  if (!isCount(revision) || !isNames(ids) || !isName(incarnation) || !isName(request)) return null;
  return { revision, ids, incarnation, request };
}

/** Null when it is no receipt. */
export function readReceipt(body: unknown): Receipt | null {
  if (!isObject(body)) return null;
  const { request, incarnation, name, state, reason } = body;
  if (!isName(request) || !isName(incarnation) || !isName(name) || !(reason === null || isText(reason))) return null;
  if (state !== 'applied' && state !== 'pending' && state !== 'failed') return null;
  return { request, incarnation, name, state, reason };
}
