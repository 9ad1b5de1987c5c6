/** `acl test`. */

import type { AclVerdict } from '../../../answers/node.ts';
import type { Command, CommandCall } from '../../command.ts';
import { usageFailure } from '../../failure.ts';
import type { Options } from '../../option.ts';
import { printable } from '../../terminal.ts';
import { oneTarget, printedAsJson, refuseSurplus } from '../common.ts';

/** The actions that rules decide about. */
export const ACL_ACTIONS: readonly string[] = ['publish', 'subscribe'];

function qosOf(options: Options): { qos?: number } {
  const qos = options.text('qos');
  if (qos === undefined) return {};
  if (!/^[012]$/.test(qos)) throw usageFailure(`--qos ${qos}: expected 0, 1 or 2`);
  return { qos: Number(qos) };
}

function furtherOf(options: Options): { groups?: string[]; certCommonName?: string } {
  const [groups, certCommonName] = [options.text('groups'), options.text('certificate')];
  return {
    ...(groups === undefined ? {} : { groups: groups.split(',').map((group) => group.trim()) }),
    ...(certCommonName === undefined ? {} : { certCommonName }),
  };
}

async function test(call: CommandCall): Promise<void> {
  const { words, options, terminal, api } = call;
  const [target, action, topic, ...surplus] = words;
  refuseSurplus(surplus);
  const key = oneTarget(target === undefined ? [] : [target]);
  if (action === undefined || !ACL_ACTIONS.includes(action)) throw usageFailure(`expected ${ACL_ACTIONS.join(' or ')} behind the endpoint`);
  if (topic === undefined) throw usageFailure(action === 'publish' ? 'which topic?' : 'which topic filter?');
  const who = { clientId: options.text('client'), username: options.text('username'), ip: options.text('ip'), ...furtherOf(options) };
  const body = { ...key, ...who, action, topic, ...qosOf(options), ...(options.has('retain') ? { retain: true } : {}) };
  const verdict = (await api.post('/api/acl/test', body)) as AclVerdict;
  if (printedAsJson(call, verdict)) return;
  const word = verdict.allowed ? 'allowed' : 'denied';
  if (options.has('quiet')) {
    terminal.out(word);
    return;
  }
  terminal.out(printable(`${word}: ${verdict.reason}`));
  if (verdict.rule !== null) terminal.out(printable(`  ${JSON.stringify(verdict.rule)}`));
}

export const ACL_COMMANDS: readonly Command[] = [
  {
    name: 'acl test',
    usage: 'PORT|ID publish|subscribe TOPIC',
    summary: 'says whether the rules of an endpoint allow it, and which rule decides',
    details: ['The exit code is 0 for both answers; -q prints the word alone.'],
    examples: [
      'acl test 1883 publish sensors/1/temperature --client sensor-1 --username sensor',
      "acl test mqtt-1883 subscribe 'sensors/#' --ip 10.1.2.3",
    ],
    options: [
      { name: 'client', value: 'ID', text: 'client identifier; default: none' },
      { name: 'username', value: 'NAME', text: 'the user after the login; default: a client without a user' },
      { name: 'ip', value: 'ADDRESS', text: 'address of the client; default: 127.0.0.1' },
      { name: 'groups', value: 'NAMES', text: 'groups of the user beside those in the store, with commas between them' },
      { name: 'certificate', value: 'NAME', text: 'common name of the client certificate; default: none' },
      { name: 'qos', value: '0|1|2', text: 'QoS of the message, or of the requested subscription; default: 0', completes: ['0', '1', '2'] },
      { name: 'retain', text: 'the message has the RETAIN flag' },
    ],
    words: ['target', 'aclAction', 'topic'],
    connects: true,
    run: test,
  },
];
