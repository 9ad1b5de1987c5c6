/** The libraries of hashes, each loaded at its first use: most processes never check a password. */

type Argon2 = Pick<typeof import('@node-rs/argon2'), 'hash' | 'verify'>;
type Bcrypt = Pick<typeof import('@node-rs/bcrypt'), 'hash' | 'verify'>;

export const argon2 = (): Promise<Argon2> => import('@node-rs/argon2');
export const bcrypt = (): Promise<Bcrypt> => import('@node-rs/bcrypt');
