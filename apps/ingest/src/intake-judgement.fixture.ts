import { isTerminal, jobStatusSchema } from '@millrace/contracts';
import type { Pool } from '@millrace/postgres';

import { type Handed, idOf, type IntakeWorld, nameOf } from './intake-world.fixture.ts';
import { tenantNames } from './intake-plans.fixture.ts';

interface JobRow {
  readonly tenant: string;
  readonly id: string;
  readonly status: string;
  readonly key: string | null;
  readonly session: string | null;
  readonly refused: boolean;
  readonly run_at: Date | null;
  readonly complete_by: Date | null;
  readonly finished_at: Date;
  readonly first_event: Buffer;
}

/** A change of a job's status, as a trigger wrote it down in its order. */
interface Change {
  readonly name: string;
  readonly before: string | null;
  readonly after: string;
}

/** Writes every change of a job down, whoever makes it. */
export const writeDownText = `
CREATE SCHEMA model;
CREATE TABLE model.changes (
  nth bigint GENERATED ALWAYS AS IDENTITY, name text, before text, after text);
CREATE FUNCTION model.write_down() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  INSERT INTO model.changes (name, before, after) VALUES (
    new.tenant || '/' || new.id, CASE TG_OP WHEN 'UPDATE' THEN old.status END, new.status);
  RETURN NULL;
END $$;
CREATE TRIGGER write_down AFTER INSERT OR UPDATE ON ingest.jobs
  FOR EACH ROW EXECUTE FUNCTION model.write_down();`;

/**
 * What has to hold at the end, whatever happened.
 *
 * M1 What was acknowledged is there once, with its body; a key and an id stand for one body, and
 *    who was refused for that met another one of their own tenant.
 * M2 Each job has one end, which never changes, and is as it was told by the one that ended it.
 * M3 Each job's request is published under its derived id, always the same; that of a job which
 *    ingest itself has ended is not.
 * M4 The numbers of a session are dense, and in the order of release.
 * M5 Who cancels is heard.
 */
export async function judge(world: IntakeWorld, sql: Pool): Promise<readonly string[]> {
  const { rows } = await sql.query<JobRow>(`
    SELECT tenant, id, status, idempotency_key AS key, session_id AS session, refused, run_at,
      complete_by, finished_at, first_event FROM ingest.jobs`);
  const changes = await sql.query<Change>('SELECT * FROM model.changes ORDER BY nth');
  return [
    ...world.wrongs,
    ...submissionWrongs(world, rows),
    ...lifeWrongs(rows, changes.rows),
    ...rows.flatMap((row) => tellingWrongs(world, row)),
    ...tenantNames.flatMap((tenant) =>
      ['a', 'b'].flatMap((session) => sessionWrongs(world, rows, { tenant, session }))),
    ...cancelWrongs(world, rows),
  ];
}

/** M1 */
function submissionWrongs(world: IntakeWorld, rows: readonly JobRow[]): string[] {
  const wrongs: string[] = [];
  for (const { handed, id } of world.acknowledged) {
    const own = rows.filter((row) => row.tenant === handed.tenant && row.id === id);
    const name = nameOf(handed.tenant, id);
    if (own.length !== 1) wrongs.push(`${name} was acknowledged, and is there ${own.length} times`);
    else if (contentOf(own[0]!) !== handed.content) wrongs.push(`${name} has another body`);
    else if (!sameKey(handed, own[0]!)) wrongs.push(`${name} has another key`);
  }
  for (const handed of [...world.conflicts, ...world.deadLetters]) {
    if (!rows.some((row) => contradicts(row, handed))) {
      wrongs.push(`${handed.content} is refused, and conflicts with nothing`);
    }
  }
  for (const row of rows) if (!isHandedOver(world, row)) wrongs.push(`${row.id} is nobody's`);
  const records = world.handed.filter(({ planned }) => planned.via === 'kafka');
  for (const handed of records) {
    const id = idOf({ handed, atMs: 0, id: null });
    const row = rows.find((each) => each.tenant === handed.tenant && each.id === id);
    const isRefused = world.deadLetters.includes(handed);
    if (row === undefined) wrongs.push(`the record of ${handed.content} is lost`);
    else if ((contentOf(row) !== handed.content) !== isRefused) {
      wrongs.push(`the record of ${handed.content} met ${row.id}`);
    }
  }
  return wrongs;
}

function contentOf({ first_event: event, refused }: JobRow): string {
  return refused ? 'broken' : JSON.parse(event.toString()).reply.metadata.content;
}

/** What was handed over with a key that its job does not have was found by its id. */
function sameKey({ planned }: Handed, { id, key }: JobRow): boolean {
  return planned.key === null || planned.key === key || planned.name === id;
}

function contradicts(row: JobRow, { content, planned, tenant }: Handed): boolean {
  if (row.tenant !== tenant) return false;
  const isById = planned.name === row.id;
  const isByKey = planned.key !== null && planned.key === row.key;
  if (!isById && !isByKey) return false;
  return contentOf(row) !== content || (planned.name !== null && !isById);
}

function isHandedOver({ begun }: IntakeWorld, row: JobRow): boolean {
  return begun.some((each) => {
    if (each.handed.tenant !== row.tenant || each.handed.content !== contentOf(row)) return false;
    const id = idOf(each);
    return id === null || id === row.id;
  });
}

/** M2 */
function lifeWrongs(rows: readonly JobRow[], changes: readonly Change[]): string[] {
  const lives = Map.groupBy(changes, ({ name }) => name);
  return rows.flatMap((row) => {
    const name = nameOf(row.tenant, row.id);
    const life = lives.get(name) ?? [];
    const inserts = life.filter(({ before }) => before === null).length;
    const ends = life.filter(({ after }) => isEnd(after)).length;
    return [
      ...(inserts === 1 ? [] : [`${name} was inserted ${inserts} times`]),
      ...(ends === 1 ? [] : [`${name} ended ${ends} times`]),
      ...(ends === 0 || isEnd(life.at(-1)?.after) ? [] : [`${name} changed after its end`]),
    ];
  });
}

/** M2, M3 */
function tellingWrongs(world: IntakeWorld, row: JobRow): string[] {
  const name = nameOf(row.tenant, row.id);
  const requests = world.published.get(`${row.tenant}:${row.id}:requested`)?.size ?? 0;
  const ends = world.published.get(`${row.tenant}:${row.id}:finished`)?.size ?? 0;
  const own = world.ownEnds.get(name);
  const end = own ?? world.runnerEnds.get(name);
  if (own !== undefined) world.happened.add(row.refused ? 'refused' : own.status);
  const wrongs: string[] = [];
  if (end?.status !== row.status) wrongs.push(`${name} ${row.status}, and was told ${end?.status}`);
  if (own === undefined && requests !== 1) wrongs.push(`${name} has ${requests} requests`);
  if (own !== undefined && requests !== 0) wrongs.push(`${name} has two enders`);
  if (own !== undefined && ends !== 1) wrongs.push(`${name} is told ${ends} ends`);
  if (own?.status === 'expired' && (row.complete_by ?? Infinity) > row.finished_at) {
    wrongs.push(`${name} expired too early`);
  }
  const toldAtMs = world.toldAtMs.get(name) ?? Infinity;
  if (row.run_at !== null && toldAtMs < row.run_at.getTime()) {
    wrongs.push(`${name} was released too early`);
  }
  if (row.run_at !== null && requests > 0) world.happened.add('released later');
  return wrongs;
}

/** M4. A turn that was published before another one could be released has the smaller number. */
function sessionWrongs(
  world: IntakeWorld,
  rows: readonly JobRow[],
  o: { readonly tenant: string; readonly session: string },
): string[] {
  const own = rows.filter((row) => row.tenant === o.tenant && row.session === o.session);
  const turns = own.flatMap((row) => {
    const name = nameOf(row.tenant, row.id);
    const request = world.asked.get(name);
    if (request === undefined) return [];
    const { session_seq: seq } = JSON.parse(String(request.value));
    const toldAtMs = world.toldAtMs.get(name) ?? Infinity;
    return [{ name, seq, toldAtMs, earliestMs: earliestOf(world, row) }];
  });
  const seqs = turns.map(({ seq }) => seq).sort((a, b) => a - b);
  const isDense = seqs.every((seq, i) => seq === i + 1);
  const early = turns.flatMap((one) =>
    turns.filter((other) => one.toldAtMs < other.earliestMs && one.seq > other.seq));
  return [
    ...(isDense ? [] : [`${o.tenant}/${o.session} has the numbers ${seqs.join()}`]),
    ...early.map(({ name }) => `${name} is before one that was released earlier`),
  ];
}

/** Before this nobody can have released it; 0 when it is not known who handed it over. */
function earliestOf({ begun }: IntakeWorld, row: JobRow): number {
  const times = begun.flatMap((each) => {
    const { planned, tenant } = each.handed;
    if (tenant !== row.tenant) return [];
    const isNamed = idOf(each) === row.id || (planned.key !== null && planned.key === row.key);
    return isNamed ? [each.atMs] : [];
  });
  return times.length === 0 ? 0 : Math.max(Math.min(...times), row.run_at?.getTime() ?? 0);
}

/** M5 */
function cancelWrongs(world: IntakeWorld, rows: readonly JobRow[]): string[] {
  const statuses = new Map(rows.map((row) => [nameOf(row.tenant, row.id), row.status]));
  const wrongs = world.cancels.flatMap(({ name, status }) => {
    if (isEnd(status)) return statuses.get(name) === status ? [] : [`${name} was told ${status}`];
    return world.cancelAsked.has(name) ? [] : [`the cancel of ${name} is lost`];
  });
  const asked = new Set(world.cancels.map(({ name }) => name));
  if (asked.size > 0) world.happened.add('a cancel');
  return wrongs;
}

function isEnd(status: string | undefined): boolean {
  return status !== undefined && isTerminal(jobStatusSchema.parse(status));
}
