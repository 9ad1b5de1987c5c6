/** The client's side of SCRAM (RFC 5802), written for the tests alone. */

import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';

export interface ScramClient {
  first: Buffer;
  /** the answer to the server's first message */
  final(challenge: Buffer): Buffer;
  /** whether the server's last message proves that it knows the secret */
  isProof(message: Buffer): boolean;
}

export interface ScramOptions {
  header?: string;
  nonce?: string;
}

export function scramClient(method: string, username: string, password: string, { header = 'n,,', nonce }: ScramOptions = {}): ScramClient {
  const digest = method === 'SCRAM-SHA-256' ? 'sha256' : 'sha512';
  const own = nonce ?? randomBytes(12).toString('base64url');
  const bare = `n=${username.replaceAll('=', '=3D').replaceAll(',', '=2C')},r=${own}`;
  let expected = '';
  return {
    first: Buffer.from(header + bare),
    final(challenge) {
      const [nonceOfBoth = '', salt = '', iterations = ''] = challenge
        .toString()
        .split(',')
        .map((part) => part.slice(2));
      const salted = pbkdf2Sync(password, Buffer.from(salt, 'base64'), Number(iterations), digest === 'sha256' ? 32 : 64, digest);
      const clientKey = createHmac(digest, salted).update('Client Key').digest();
      const unproven = `c=${Buffer.from(header).toString('base64')},r=${nonceOfBoth}`;
      const message = `${bare},${challenge},${unproven}`;
      const signature = createHmac(digest, createHash(digest).update(clientKey).digest()).update(message).digest();
      const serverKey = createHmac(digest, salted).update('Server Key').digest();
      expected = `v=${createHmac(digest, serverKey).update(message).digest('base64')}`;
      return Buffer.from(`${unproven},p=${Buffer.from(clientKey.map((byte, at) => byte ^ signature[at]!)).toString('base64')}`);
    },
    isProof: (message) => message.toString() === expected,
  };
}
