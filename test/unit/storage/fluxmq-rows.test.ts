/** Rows of FluxMQ's table as endpoints: defaults, JSON texts, and rows that cannot be taken. */

import { describe, expect, test } from 'vitest';
import { convertFluxmqRows, type FluxmqRow } from '../../../src/storage/fluxmq-import/convert-rows.ts';

/** A row as FluxMQ's script makes it when only the port is given. */
const row = (id: string, port: number, more: FluxmqRow = {}): FluxmqRow => ({
  id,
  f_port: port,
  f_metrics: 0,
  f_wiretap: 0,
  f_proxy: 0,
  f_enable_auth: 0,
  f_enable_acl: 0,
  f_enable_bridge: 0,
  f_message_max_size: null,
  f_max_session_size: 0,
  f_use_websocket: 0,
  f_max_connection_size: 0,
  f_exclusive_pool: 0,
  f_path: null,
  f_max_send_window_size: 0,
  f_max_receive_window_size: 0,
  f_acl_refresh_period: 0,
  f_session_persistence: 0,
  f_max_connection_per_second: 0,
  f_ssl_config: null,
  f_server_options: null,
  f_child_options: null,
  f_create_time: '2025-01-01 00:00:00',
  f_update_time: null,
  f_enabled: 1,
  f_is_default: 0,
  ...more,
});

const FLAGS_OFF = {
  wiretap: false,
  proxy: false,
  enableAuth: false,
  enableAcl: false,
  useWebsocket: false,
  exclusivePool: false,
  sessionPersistence: false,
  enabled: true,
  isDefault: false,
};

describe('convertFluxmqRows', () => {
  test('leaves to the default what is 0, empty or null, but not a switch that is off', () => {
    expect(convertFluxmqRows([row('a', 1883, { f_path: '', f_ssl_config: '', f_server_options: '{}' })])).toEqual({
      configs: [{ id: 'a', port: 1883, ...FLAGS_OFF, serverOptions: {} }],
      leftOut: [],
      warnings: [],
    });
    const nulls = Object.fromEntries(Object.keys(row('a', 1)).map((column) => [column, null]));
    expect(convertFluxmqRows([{ ...nulls, id: 'a', f_port: 1 }]).configs).toEqual([{ id: 'a', port: 1 }]);
  });

  test('takes every column over', () => {
    const more = {
      f_wiretap: 1,
      f_enable_auth: true,
      f_enable_acl: '1',
      f_message_max_size: 65536,
      f_max_session_size: 7,
      f_use_websocket: Buffer.from([1]),
      f_max_connection_size: '500',
      f_exclusive_pool: 1,
      f_path: '/ws',
      f_max_send_window_size: 8,
      f_max_receive_window_size: 9,
      f_session_persistence: 't',
      f_max_connection_per_second: 10,
      f_child_options: '{"TCP_NODELAY":true,"SO_KEEPALIVE":null}',
      f_ssl_config: '{"enable":false,"crt":"/x","password":"y"}',
      f_enabled: 0,
      f_is_default: 1,
    };
    expect(convertFluxmqRows([row('b', 8083, more)])).toEqual({
      configs: [
        {
          id: 'b',
          port: 8083,
          wiretap: true,
          proxy: false,
          enableAuth: true,
          enableAcl: true,
          useWebsocket: true,
          exclusivePool: true,
          sessionPersistence: true,
          enabled: false,
          isDefault: true,
          messageMaxSize: 65536,
          maxSessionSize: 7,
          maxConnectionSize: 500,
          maxSendWindowSize: 8,
          maxReceiveWindowSize: 9,
          maxConnectionPerSecond: 10,
          path: '/ws',
          childOptions: { TCP_NODELAY: true },
        },
      ],
      leftOut: [],
      warnings: [],
    });
  });

  test('takes one of several rows with one port, and says which', () => {
    const rows = [
      row('off', 1, { f_enabled: 0, f_update_time: '2026-01-01' }),
      row('old', 1, { f_update_time: '2025-01-01' }),
      row('new', 1, { f_update_time: '2025-06-01' }),
      row('other', 2),
    ];
    const { configs, leftOut } = convertFluxmqRows(rows);
    expect(configs.map((config) => config['id'])).toEqual(['new', 'other']);
    expect(leftOut).toEqual(['old', 'off'].map((id) => ({ id, port: 1, reason: 'port 1 is taken by new' })));
  });

  test('takes a good row where a row before it on the same port cannot be taken', () => {
    const { configs, leftOut } = convertFluxmqRows([row('a', 1, { f_server_options: 'x' }), row('b', 1)]);
    expect([configs.map((config) => config['id']), leftOut]).toMatchObject([
      ['b'],
      [{ id: 'a', reason: expect.stringContaining('f_server_options is not JSON') }],
    ]);
  });

  test.each<[FluxmqRow, string]>([
    [{ f_port: 0 }, 'port: '],
    [{ f_port: 70_000 }, 'port: '],
    [{ f_max_connection_size: -1 }, 'maxConnectionSize: '],
    [{ f_ssl_config: '[1]' }, 'f_ssl_config is not a JSON object'],
    [{ f_child_options: '{"colour":1}' }, 'childOptions.colour: unknown key'],
    [{ f_path: 'ws' }, 'path: '],
    // Taken for "off", it would open a port that was closed.
    [{ f_enable_auth: 7 }, 'f_enable_auth: must be 0 or 1, not 7'],
    [{ f_enable_acl: 'maybe' }, 'f_enable_acl: must be 0 or 1, not maybe'],
    [{ f_enabled: 2 }, 'f_enabled: must be 0 or 1, not 2'],
    [
      { f_enable_auth: 7, f_path: 'ws', f_ssl_config: '[1]' },
      'f_enable_auth: must be 0 or 1, not 7; f_ssl_config is not a JSON object; path: ',
    ],
  ])('leaves out a row with %j, and says why', (more, reason) => {
    expect(convertFluxmqRows([row('a', 1, more)])).toMatchObject({
      configs: [],
      leftOut: [{ id: 'a', reason: expect.stringContaining(reason) }],
    });
  });

  test('takes rows of one id under ids of their own', () => {
    const rows = [
      row('twin', 2, { f_enabled: 'TRUE', f_enable_auth: 'false' }),
      row('twin', 1),
      row('mqtt-3', 3),
      row('mqtt-3', 4),
      row('fluxmq-2', 5),
      row('mqtt-2', 6),
    ];
    const { configs, leftOut, warnings } = convertFluxmqRows(rows);
    expect([configs.map((config) => `${config['id']} ${config['port']}`), leftOut]).toEqual([
      ['twin 1', 'fluxmq-2-2 2', 'mqtt-3 3', 'mqtt-4 4', 'fluxmq-2 5', 'mqtt-2 6'],
      [],
    ]);
    expect(warnings).toEqual([
      'twin (port 2): this id is also the id of another row; the endpoint becomes fluxmq-2-2',
      'mqtt-3 (port 4): this id is also the id of another row; the endpoint becomes mqtt-4',
    ]);
    expect(configs[1]).toMatchObject({ enabled: true, enableAuth: false });
  });

  test('has one default, possible ids, and warnings for what has no effect', () => {
    const rows = [
      row('a', 1, { f_is_default: 1, f_enable_bridge: 1 }),
      row('b', 2, { f_is_default: 1, f_acl_refresh_period: 60 }),
      row('ü ber', 3),
      row('mqtt-4', 5),
      row('', 4),
      row('c', 6, { f_server_options: '{"bossGroupSize":4}' }),
    ];
    const { configs, leftOut, warnings } = convertFluxmqRows(rows);
    expect(leftOut).toEqual([]);
    expect(configs.map((config) => `${config['id']} ${config['port']} ${config['isDefault']}`)).toEqual([
      'a 1 true',
      'b 2 false',
      'mqtt-3 3 false',
      'fluxmq-4 4 false',
      'mqtt-4 5 false',
      'c 6 false',
    ]);
    expect(warnings).toEqual([
      'a (port 1): f_enable_bridge has no effect here without a bridgeConfig',
      'b (port 2): f_acl_refresh_period has no effect here: rules apply at once when they change',
      'b (port 2): a is the default endpoint already',
      'ü ber (port 3): this id is not valid here; the endpoint becomes mqtt-3',
      ' (port 4): this id is not valid here; the endpoint becomes fluxmq-4',
      expect.stringContaining('c (port 6): serverOptions.bossGroupSize has no effect'),
    ]);
  });
});
