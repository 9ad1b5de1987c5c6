/** Relations between topic filters, on filters split at `/`: matches, covers, intersects ([MQTT-4.7.1], [MQTT-4.7.2-1]). */

/** Levels of a filter or topic name. */
export type Levels = readonly string[];

/** Splits a valid filter. A leading `+/#` becomes `#`: every topic has a first level, so both match the same topics. */
export function toLevels(filter: string): Levels {
  const levels = filter.split('/');
  return levels.length === 2 && levels[0] === '+' && levels[1] === '#' ? ['#'] : levels;
}

/** Filters that begin with a wildcard do not match topics that begin with `$` [MQTT-4.7.2-1]. */
function isHidden(wildcardSide: Levels, otherSide: Levels): boolean {
  const first = wildcardSide[0];
  return (first === '+' || first === '#') && otherSide[0]?.startsWith('$') === true;
}

/** True when the topic name matches the filter. */
export function filterMatches(filter: Levels, topic: Levels): boolean {
  if (isHidden(filter, topic)) return false;
  for (const [index, level] of filter.entries()) {
    // `a/#` matches `a` too: the topic may end here.
    if (level === '#') return true;
    if (index >= topic.length || (level !== '+' && level !== topic[index])) return false;
  }
  return filter.length === topic.length;
}

/** True when `outer` matches every topic that `inner` matches. */
export function filterCovers(outer: Levels, inner: Levels): boolean {
  if (isHidden(outer, inner)) return false;
  for (const [index, level] of outer.entries()) {
    if (level === '#') return true;
    const wanted = inner[index];
    if (wanted === undefined || wanted === '#' || (level !== '+' && level !== wanted)) return false;
  }
  return outer.length === inner.length;
}

/** True when some topic matches both. */
export function filtersIntersect(a: Levels, b: Levels): boolean {
  if (isHidden(a, b) || isHidden(b, a)) return false;
  const shared = Math.min(a.length, b.length);
  for (let index = 0; index < shared; index += 1) {
    const [left, right] = [a[index], b[index]];
    if (left === '#' || right === '#') return true;
    if (left !== right && left !== '+' && right !== '+') return false;
  }
  const rest = a.length > b.length ? a : b;
  return a.length === b.length || rest[shared] === '#';
}

/** The filter of the topics that match both `a` and `b`, which intersect. */
export function intersectionOf(a: Levels, b: Levels): Levels {
  const common: string[] = [];
  for (let index = 0; ; index += 1) {
    const [left, right] = [a[index], b[index]];
    if (left === '#') return [...common, ...b.slice(index)];
    if (right === '#') return [...common, ...a.slice(index)];
    if (left === undefined || right === undefined) return common;
    common.push(left === '+' ? right : left);
  }
}
