-- Up Migration
--
-- Whose turn it is to count the queue of calls: one row, so that the whole fleet counts once in a
-- while and not each process by itself.

CREATE TABLE worker.backlog_turn (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  -- Nobody counts before this.
  next_at timestamptz NOT NULL DEFAULT now(),
  -- Calls that waited when it was last told: an empty queue is told once.
  told_waiting int NOT NULL DEFAULT 0
);
INSERT INTO worker.backlog_turn DEFAULT VALUES;

GRANT SELECT, UPDATE ON worker.backlog_turn TO claude_worker;

-- Down Migration

DROP TABLE worker.backlog_turn;
