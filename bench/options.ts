/** The command line of `npm run bench`. */

import { parseArgs } from 'node:util';

export interface Options {
  isQuick: boolean;
  /** names of scenarios; empty = all */
  only: string[];
  /** names of peers; empty = all on this machine */
  peers: string[];
  repetitions: number;
  /** seconds */
  warmup: number;
  duration: number;
  /** also count system calls with strace */
  hasSyscalls: boolean;
  /** folder of another built fluxmq for comparison; null = none */
  compare: string | null;
  /** folder of the results, relative to bench/ */
  out: string;
}

export const USAGE = `npm run bench -- [options]
  --quick            a subset with short runs, under 3 minutes
  --only A,B         these scenarios only; cluster: the scenarios of a cluster, which run only when they are named
  --peers A,B        these brokers only: fluxmq, fluxmq-uws, fluxmq-builtin, mosquitto, aedes, flashmq, nats; in a cluster also rabbitmq
  --repeat N         runs of each scenario and broker (3; quick 2)
  --seconds N        length of a measurement (1.5; quick 0.6)
  --compare DIR      take another built checkout of fluxmq into the comparison
  --no-syscalls      leave out the runs under strace
  --out DIR          folder of the results, relative to bench/ (results)
`;

/** @throws Error for unknown options */
export function parseOptions(args: string[]): Options | null {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string', default: '' },
      peers: { type: 'string', default: '' },
      repeat: { type: 'string' },
      seconds: { type: 'string' },
      'no-syscalls': { type: 'boolean', default: false },
      compare: { type: 'string' },
      out: { type: 'string', default: 'results' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  const isQuick = values.quick;
  return {
    isQuick,
    only: list(values.only),
    peers: list(values.peers),
    repetitions: positive('--repeat', values.repeat, isQuick ? 2 : 3),
    warmup: isQuick ? 0.3 : 0.6,
    duration: positive('--seconds', values.seconds, isQuick ? 0.6 : 1.5),
    hasSyscalls: !isQuick && !values['no-syscalls'],
    compare: values.compare ?? null,
    out: values.out,
  };
}

function list(text: string): string[] {
  return text.split(',').filter((part) => part !== '');
}

function positive(name: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!(value > 0)) throw new Error(`${name} must be a number above 0, not '${text}'`);
  return value;
}
