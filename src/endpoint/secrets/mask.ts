/** The mask of a secret in answers. Sent back, it means the old secret. */
export const MASK = '******';
