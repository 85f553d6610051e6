/**
 * The SQL of "row `row` is of the day `day`", for a statement that changes or locks rows of a table
 * that is partitioned by day, and that is also told the range of days that it looks at.
 *
 * Never a bare `row.day = day` beside such a range: PostgreSQL 18 leaves partitions out twice then,
 * by the range when the statement starts and by the day at each row, and where a row has changed
 * since the statement's snapshot it does the second by numbers that it has moved already. Unless
 * the table's first partition is among those that are left, the row is taken for one that is not
 * there, and so are those after it (seen with 18.4; `same-day.int.spec.ts`). The sum with 0 keeps
 * the planner from the second.
 */
export function sameDay(row: string, day: string): string {
  return `${row}.day + 0 = ${day}`;
}
