/** Reads notices from the bus. Any client may publish there, so every field is checked. */

import { isObject } from '../../endpoint/problems.ts';
import { DRAIN_MS_MAX, DRAIN_RATE_MAX, type DrainRequest, NO_DRAIN, SERVER_REFERENCE_MAX } from '../contract/request-parts.ts';
import type { Announcement, NodeFacts, Receipt } from './notices.ts';

const TEXT_MAX = 4096;
const IDS_MAX = 100_000;

const isText = (value: unknown): value is string => typeof value === 'string' && value.length <= TEXT_MAX;
const isName = (value: unknown): value is string => isText(value) && value !== '' && value.length <= 256;
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isNames = (value: unknown): value is string[] => Array.isArray(value) && value.length <= IDS_MAX && value.every(isName);

/**
 * Returns null unless the value is a heartbeat. A node of another version may send it: unknown keys are left out, and an unknown
 * word takes the nearest known meaning.
 */
export function readFacts(body: unknown): NodeFacts | null {
  if (!isObject(body)) return null;
  const { name, incarnation, address, adminPort, version, upSince, revision, known = revision, status, storeOk, failed, messages } = body;
  if (!isName(name) || !isName(incarnation) || !isText(address) || !isName(version)) return null;
  if (!isCount(adminPort) || !isCount(upSince) || !isCount(revision) || !isNames(failed) || typeof storeOk !== 'boolean') return null;
  if (!isCount(known) || !isText(status)) return null;
  const near = status === 'ok' || status === 'failed' ? status : 'degraded';
  // Versions that share configuration only lack the key.
  const carried = isCount(messages) ? messages : 0;
  return { name, incarnation, address, adminPort, version, upSince, revision, known, status: near, storeOk, failed, messages: carried };
}

/** Returns null unless the value is an announcement. */
export function readAnnouncement(body: unknown): Announcement | null {
  if (!isObject(body)) return null;
  const { revision, ids, incarnation, request, drain } = body;
  if (!isCount(revision) || !isNames(ids) || !isName(incarnation) || !isName(request)) return null;
  return { revision, ids, incarnation, request, drain: readDrain(drain) };
}

/** Ignores drain options that it does not understand, so that they do not prevent the change. */
function readDrain(drain: unknown): DrainRequest {
  const { drainMs, drainRate, redirect } = isObject(drain) ? drain : {};
  return {
    drainMs: isCount(drainMs) ? Math.min(drainMs, DRAIN_MS_MAX) : NO_DRAIN.drainMs,
    drainRate: isCount(drainRate) && drainRate > 0 ? Math.min(drainRate, DRAIN_RATE_MAX) : NO_DRAIN.drainRate,
    redirect: isText(redirect) && redirect !== '' && redirect.length <= SERVER_REFERENCE_MAX ? redirect : NO_DRAIN.redirect,
  };
}

/** Returns null unless the value is a receipt. */
export function readReceipt(body: unknown): Receipt | null {
  if (!isObject(body)) return null;
  const { request, incarnation, name, state, reason } = body;
  if (!isName(request) || !isName(incarnation) || !isName(name) || !(reason === null || isText(reason))) return null;
  if (!isText(state)) return null;
  const near = state === 'applied' || state === 'failed' ? state : 'pending';
  return { request, incarnation, name, state: near, reason };
}
