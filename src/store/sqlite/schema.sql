-- The tables of postgres/schema.sql with the same checks. STRICT, because SQLite otherwise takes any type in any column;
-- and with the bounds of PostgreSQL's integer, because SQLite's is 64 bits wide.
CREATE TABLE IF NOT EXISTS deliveries (
  order_id      TEXT PRIMARY KEY,
  revision      INTEGER NOT NULL CHECK (revision BETWEEN 0 AND 2147483647),
  applied       INTEGER NOT NULL CHECK (applied BETWEEN 0 AND 2147483647),
  status        TEXT,
  amount_minor  INTEGER,
  currency      TEXT CHECK (length(currency) = 3),
  address       TEXT,
  log_partition INTEGER CHECK (log_partition BETWEEN -2147483648 AND 2147483647),
  log_offset    INTEGER,
  has_parked    INTEGER NOT NULL DEFAULT false CHECK (has_parked IN (false, true)),
  updated_at    TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
  CHECK (revision = 0
         OR (status IS NOT NULL AND amount_minor IS NOT NULL AND currency IS NOT NULL AND address IS NOT NULL
             AND log_partition IS NOT NULL AND log_offset IS NOT NULL))
) STRICT, WITHOUT ROWID; -- one tree to look into for each write, in place of a table and its index

CREATE TABLE IF NOT EXISTS parked_events (
  order_id      TEXT NOT NULL,
  first         INTEGER NOT NULL,
  last          INTEGER NOT NULL CHECK (last <= 2147483647),
  amount_minor  INTEGER NOT NULL,
  currency      TEXT NOT NULL CHECK (length(currency) = 3),
  address       TEXT NOT NULL,
  log_partition INTEGER NOT NULL CHECK (log_partition BETWEEN -2147483648 AND 2147483647),
  log_offset    INTEGER NOT NULL,
  parked_at     TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
  PRIMARY KEY (order_id, last),
  CHECK (1 < first AND first <= last)
) STRICT, WITHOUT ROWID;
