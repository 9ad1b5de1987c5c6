/** The first bytes of a connection: a beginning of CONNECT, or the name of a foreign protocol. */

import { expect, test } from 'vitest';
import { canBeConnect, describeStranger } from '../../../src/mqtt/connect/first-bytes.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const can = (text: string): boolean => canBeConnect(bytes(text), 0, text.length);

test.each(['\x10\x20\0\x04MQTT\x05', '\x10\xff\xff\x7f\0\x04MQTT\x04', '\x10\x20\0\x06MQIsdp\x03'])(
  '%j, however short, can be CONNECT',
  (text) => {
    for (let length = 0; length <= text.length; length++) expect(can(text.slice(0, length)), String(length)).toBe(true);
  },
);

test.each([
  '\x11',
  '\x30\x10',
  'GET / HTTP/1.1\r\n',
  '\x16\x03\x01',
  '\x10\xff\xff\xff\xff',
  '\x10\x20\x01',
  '\x10\x20\0\x05',
  '\x10\x20\0\x04MQTX',
  '\x10\x20\0\x04MQI',
  '\x10\x20\0\x06MQT',
])('%j cannot', (text) => {
  expect(can(text)).toBe(false);
  // Bytes before and behind them in the buffer do not count.
  expect(canBeConnect(bytes(`\x10${text}\x10`), 1, 1 + text.length)).toBe(false);
});

test.each([
  ['GET /mqtt HTTP/1.1\r\n', 'an HTTP request'],
  ['PRI * HTTP/2.0\r\n', 'an HTTP request'],
  ['\x16\x03\x01\x02\0', 'a TLS handshake'],
  ['\x16', 'a TLS handshake'],
  ['PROXY TCP4 10.0.0.1 ', 'a PROXY protocol header'],
  ['\r\n\r\n\0\r\nQUIT\n\x21', 'a PROXY protocol header'],
  ['SSH-2.0-OpenSSH_9.2', 'its first bytes are 5353482d322e302d4f70656e5353485f'],
])('%j is named', (text, name) => {
  expect(describeStranger(bytes(text), 0, text.length, 'MQTT')).toContain(name);
});

test('MQTT is a stranger where WebSocket is spoken', () => {
  expect(describeStranger(bytes('\x10\x20'), 0, 2, 'WebSocket')).toContain('MQTT over WebSocket');
});
