/**
 * The parts of a statement that give turns their numbers, dense in each session, from a part
 * `turns (tenant, id, session_id, day, turn)` in which `turn` counts each session's from 1.
 * The outer statement reads `numbered (tenant, job_id, seq)`. Sessions are locked in their order.
 */
export const numberedTurns = `counted AS (
  INSERT INTO ingest.sessions AS session (tenant, id, last_seq)
  SELECT tenant, session_id, count(*) FROM turns
  GROUP BY tenant, session_id ORDER BY tenant, session_id
  ON CONFLICT (tenant, id) DO UPDATE SET last_seq = session.last_seq + excluded.last_seq
  RETURNING tenant, id, last_seq
), numbered AS (
  INSERT INTO ingest.session_turns (tenant, job_id, session_id, day, seq)
  SELECT turns.tenant, turns.id, turns.session_id, turns.day,
    counted.last_seq - count(*) OVER (PARTITION BY turns.tenant, turns.session_id)::int + turn
  FROM turns JOIN counted ON counted.tenant = turns.tenant AND counted.id = turns.session_id
  RETURNING tenant, job_id, seq
)`;
