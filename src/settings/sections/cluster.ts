/** The strict schema of the `cluster` section: the NATS servers, the login there, and how the nodes keep in step. */

import { isIP } from 'node:net';
import { z } from 'zod';
import type { BusCredentials, BusPlace } from '../../bus/settings.ts';
import { check, isObject, type Problems } from '../../endpoint/problems.ts';
import { oneOf } from '../../endpoint/value-types.ts';
import { bytes, flag, group, nonEmptyText, wholeNumber } from '../forms.ts';
import type { ClusterSettings } from '../settings.ts';

const NATS_PORT = 4222;
const ADDRESSES_MAX = 64;
const WILL_GRACE_MS = 5_000;
const HOLD_BYTES = 64 * 1024 * 1024;

/** The first word of all subjects. */
const word = nonEmptyText(64).regex(/^[A-Za-z0-9_-]+$/, { error: 'may hold A-Z a-z 0-9 _ - only' });
const dnsLabel = nonEmptyText(253).regex(/^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/, { error: 'must be a DNS name' });

/** `nats://host:port`, `tls://host`, `host:port` or `host` → `host:port`; `tls://` demands TLS. */
const address = nonEmptyText(300).transform((value, context) => {
  const [, scheme, rest = ''] = /^(?:(nats|tls):\/\/)?(.+)$/.exec(value) ?? [];
  const [, bracketed, plain, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:/@\s]+))(?::(\d{1,5}))?$/.exec(rest) ?? [];
  const host = bracketed ?? plain;
  const number = port === undefined ? NATS_PORT : Number(port);
  const isHost = bracketed === undefined || isIP(bracketed) === 6;
  if (host !== undefined && isHost && number >= 1 && number <= 65_535)
    return { server: `${bracketed === undefined ? host : `[${host}]`}:${number}`, isTls: scheme === 'tls' };
  context.addIssue({ code: 'custom', message: 'must be an address of a NATS server such as nats://127.0.0.1:4222' });
  return z.NEVER;
});

const dnsServer = nonEmptyText(300).refine(
  (value) => isIP(/^\[(.+)\](?::\d{1,5})?$/.exec(value)?.[1] ?? value.replace(/^([\d.]+):\d{1,5}$/, '$1')) !== 0,
  {
    error: 'must be the IP address of a DNS server, such as 10.96.0.10 or 10.96.0.10:53',
  },
);

const schema = group({
  name: word.optional(),
  localAddress: nonEmptyText(255)
    .refine((value) => isIP(value) !== 0, { error: 'must be an IP address' })
    .optional(),
  addresses: z
    .array(address, { error: 'must be a list' })
    .min(1, { error: 'must not be empty' })
    .max(ADDRESSES_MAX, { error: `must be at most ${ADDRESSES_MAX} entries` })
    .optional(),
  kubernetes: group({
    service: dnsLabel,
    namespace: dnsLabel.optional(),
    port: wholeNumber(1, 65_535).optional(),
    dnsServers: z
      .array(dnsServer, { error: 'must be a list' })
      .max(ADDRESSES_MAX, { error: `must be at most ${ADDRESSES_MAX} entries` })
      .optional(),
  }).optional(),
  credentials: group({
    user: nonEmptyText().optional(),
    password: z.string({ error: 'must be a string' }).optional(),
    token: nonEmptyText().optional(),
    credsFile: nonEmptyText(4096).optional(),
    tls: group({ ca: nonEmptyText(4096).optional(), crt: nonEmptyText(4096).optional(), key: nonEmptyText(4096).optional() }).optional(),
  }).optional(),
  messages: flag.optional(),
  hold: bytes.optional(),
  sharedSubscriptions: oneOf(['even', 'local']).optional(),
  willGrace: wholeNumber(1_000, 3_600_000).optional(),
  sync: group({
    enabled: flag.optional(),
    interval: wholeNumber(100, 3_600_000).optional(),
    timeout: wholeNumber(100, 300_000).optional(),
    retryCount: wholeNumber(0, 100).optional(),
  }).optional(),
});

type Read = z.infer<typeof schema>;

/** Without servers the node is single, and only `interval` and the like matter, for a shared store. Paths of files are as written. */
export function readCluster(input: unknown, problems: Problems): ClusterSettings {
  const read = check(schema, withoutNullsInside(input ?? {}), 'cluster', problems);
  const { sync = {} } = read ?? {};
  const hasServers = read !== undefined && (read.addresses !== undefined || read.kubernetes !== undefined);
  if (read !== undefined) checkPlace(read, problems);
  if (read !== undefined) checkCredentials(read.credentials, problems);
  return {
    name: read?.name ?? 'fluxmq',
    localAddress: read?.localAddress ?? '127.0.0.1',
    bus: hasServers ? { place: toPlace(read), credentials: toCredentials(read) } : null,
    messages: read?.messages ?? true,
    hold: read?.hold ?? HOLD_BYTES,
    sharedSubscriptions: read?.sharedSubscriptions ?? 'even',
    willGrace: read?.willGrace ?? WILL_GRACE_MS,
    sync: {
      enabled: sync.enabled ?? true,
      interval: sync.interval ?? 5_000,
      timeout: sync.timeout ?? 30_000,
      retryCount: sync.retryCount ?? 3,
    },
  };
}

function toPlace({ addresses, kubernetes }: Read): BusPlace {
  if (kubernetes === undefined) return { kind: 'addresses', addresses: (addresses ?? []).map(({ server }) => server) };
  const { service, namespace = 'default', port = NATS_PORT, dnsServers = [] } = kubernetes;
  return { kind: 'dns', service, namespace, port, dnsServers };
}

function toCredentials({ credentials = {}, addresses = [] }: Read): BusCredentials {
  const { user, password, token, credsFile, tls } = credentials;
  // The one connection may go to any server: a demand on one server is a demand on all.
  const isTls = tls !== undefined || addresses.some((each) => each.isTls);
  return {
    user: user ?? null,
    password: password ?? null,
    token: token ?? null,
    credsFile: credsFile ?? null,
    tls: isTls ? { ca: tls?.ca ?? null, crt: tls?.crt ?? null, key: tls?.key ?? null } : null,
  };
}

function checkPlace({ addresses, kubernetes, name, localAddress, credentials }: Read, problems: Problems): void {
  if (addresses !== undefined && kubernetes !== undefined)
    problems.add('cluster.kubernetes', 'stands instead of cluster.addresses: only one of them');
  const isMeant = name !== undefined || localAddress !== undefined || credentials !== undefined;
  if (isMeant && addresses === undefined && kubernetes === undefined)
    problems.add('cluster.addresses', 'is required: the NATS servers (or cluster.kubernetes)');
}

function checkCredentials(credentials: Read['credentials'], problems: Problems): void {
  if (credentials === undefined) return;
  const { user, password, token, credsFile, tls } = credentials;
  const ways = [user, token, credsFile].filter((way) => way !== undefined);
  if (ways.length > 1) problems.add('cluster.credentials', 'only one of user, token and credsFile');
  if (password !== undefined && user === undefined) problems.add('cluster.credentials.user', 'is required with a password');
  if ((tls?.crt === undefined) !== (tls?.key === undefined)) problems.add('cluster.credentials.tls', 'crt and key go together');
}

/** Drops keys that are null on every level: null means "the default". */
function withoutNullsInside(value: unknown): unknown {
  if (!isObject(value)) return value;
  const given = Object.entries(value).filter(([, entry]) => entry !== null);
  return Object.fromEntries(given.map(([key, entry]) => [key, withoutNullsInside(entry)]));
}
