import { round } from '../bench/figures.mjs';

/** Of what a check has found; the rest is only counted. */
const findingsShown = 3;

/**
 * What is said beside the number of a check's findings; of none the rule of three: what none of n
 * says at the most about the rest.
 */
export function findingsNote(found: readonly string[], population: number): string {
  if (found.length > 0) return found.slice(0, findingsShown).join('; ');
  return `0 of ${population}: with 95 % certainty below ${round((100 * 3) / population)} %`;
}
