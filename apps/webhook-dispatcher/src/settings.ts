/** The part of the configuration that the shell needs, under names of its own. */
export class DispatcherSettings {
  /** Where ingest answers to the world: thin bodies point there. */
  readonly publicUrl: string;

  constructor(settings: { publicUrl: string }) {
    this.publicUrl = settings.publicUrl;
  }
}
