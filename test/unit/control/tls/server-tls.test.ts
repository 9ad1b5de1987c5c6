/** The certificate of a server of the main thread follows its files; what is bad is reported once and not used. */

import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ServerTls } from '../../../../src/control/tls/server-tls.ts';
import { Authority, certificateFolder, type Issued } from '../../../kit/certificates.ts';
import { until } from '../../../kit/until.ts';
import { recordingLogger } from '../kit.ts';

test('changed files are used, bad ones refused once, and the end is reported', async () => {
  const folder = certificateFolder();
  const root = Authority.root(folder);
  const [crt, key] = [join(folder, 'tls.crt'), join(folder, 'tls.key')];
  const put = (issued: Issued) => {
    copyFileSync(issued.key, key);
    copyFileSync(issued.cert, crt);
  };
  put(root.issue('one'));
  const { logger, lines } = recordingLogger();
  const tls = await ServerTls.open({ ca: null, crt, key, logger, intervalMs: 20 });
  const used: unknown[] = [];
  tls.follow((options) => used.push(options));
  try {
    writeFileSync(crt, 'no certificate');
    await until('it is refused', () => lines.some(({ level }) => level === 'error'));
    expect(lines.find(({ level }) => level === 'error')?.fields).toMatchObject({
      reason: expect.stringContaining('http.ssl.crt holds no certificate'),
    });
    put(root.issue('two', { to: 3 }));
    await until('it is used', () => used.length > 0);
    expect(tls.options).toEqual(used.at(-1));
    await until('its end is reported', () =>
      lines.some(({ level, message }) => level === 'warn' && message.includes('CN=two expires in 2 days')),
    );
    expect(lines.filter(({ message }) => message.includes('expires'))).toHaveLength(1);
  } finally {
    tls.close();
  }
});
