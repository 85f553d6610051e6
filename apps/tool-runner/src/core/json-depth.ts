/** Whether a JSON value has more levels of lists and objects than `max`. It looks no deeper. */
export function isDeeperThan(value: unknown, max: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (max === 0) return true;
  return Object.values(value).some((member) => isDeeperThan(member, max - 1));
}
