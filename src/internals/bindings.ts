/** Finds Node's undocumented bindings to libuv and OpenSSL piece by piece: a later Node may rename or remove each of them. */

/** A piece by its name in the binding; `Class.method` for a method. */
export type Pieces = Readonly<Record<string, 'function' | 'number' | 'object'>>;

/** Node's internal binding of this name; empty when Node has none. */
export function bindingOf(name: string): Readonly<Record<string, unknown>> {
  try {
    const { binding } = process as unknown as { binding?: (name: string) => Readonly<Record<string, unknown>> };
    return binding?.(name) ?? {};
  } catch {
    return {};
  }
}

/** @returns `binding.piece` for each piece that this Node lacks or has in another form */
export function lackingOf(name: string, pieces: Pieces): string[] {
  const found = bindingOf(name);
  return Object.entries(pieces)
    .filter(([path, type]) => !isThere(found, path, type))
    .map(([path]) => `${name}.${path}`);
}

function isThere(found: Readonly<Record<string, unknown>>, path: string, type: string): boolean {
  const [piece = '', member] = path.split('.');
  const value = found[piece];
  if (member === undefined) return typeof value === type && value !== null;
  if (typeof value === 'function') return hasMethod(value.prototype, member);
  return typeof value === 'object' && value !== null && typeof (value as Record<string, unknown>)[member] === type;
}

/** Reads no accessor: those of a handle's prototype throw. */
export function hasMethod(owner: unknown, name: string): boolean {
  for (let at = owner; typeof at === 'object' && at !== null; at = Object.getPrototypeOf(at)) {
    const own = Object.getOwnPropertyDescriptor(at, name);
    if (own !== undefined) return typeof own.value === 'function';
  }
  return false;
}
