/** Two of the largest records: no batch blocks its partition, whatever its records' size. */
export const partitionBytesMax = 2 * 1024 * 1024;
export const fetchBytesMax = 8 * 1024 * 1024;
/**
 * A record costs some hundred bytes beside its own, and packed or tiny ones come by the hundred
 * thousand. Those of the usual size fill their bytes first.
 */
const partitionRecordsMax = 20_000;
const fetchRecordsMax = 50_000;

/** What one answer may still hold, in all and of one partition. */
export class FetchRoom {
  private records = 0;
  private bytes = 0;
  private partitionRecords = 0;
  private partitionBytes = 0;

  nextPartition(): void {
    this.partitionRecords = 0;
    this.partitionBytes = 0;
  }

  take(records: number, bytes: number): void {
    this.records += records;
    this.bytes += bytes;
    this.partitionRecords += records;
    this.partitionBytes += bytes;
  }

  isSpent(): boolean {
    return (
      this.partitionRecords >= partitionRecordsMax ||
      this.partitionBytes >= partitionBytesMax ||
      this.records >= fetchRecordsMax ||
      this.bytes >= fetchBytesMax
    );
  }
}
