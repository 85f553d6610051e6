/** What the command line may say of a story; each has defaults of its own. */
export interface ChaosOptions {
  readonly kills?: number;
  readonly jobs?: number;
  readonly seed?: number;
}
