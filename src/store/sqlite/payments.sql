-- The table of postgres/payments.sql with the same checks.
CREATE TABLE IF NOT EXISTS payments (
  order_id        TEXT NOT NULL,
  revision        INTEGER NOT NULL CHECK (revision BETWEEN 1 AND 2147483647),
  idempotency_key TEXT UNIQUE,
  request         TEXT NOT NULL,
  payload         BLOB NOT NULL,
  topic           TEXT NOT NULL,
  instance        TEXT NOT NULL,
  accepted_at     INTEGER NOT NULL,
  log_partition   INTEGER CHECK (log_partition BETWEEN -2147483648 AND 2147483647),
  log_offset      INTEGER,
  PRIMARY KEY (order_id, revision),
  CHECK ((log_partition IS NULL) = (log_offset IS NULL))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX IF NOT EXISTS payments_pending ON payments (order_id) WHERE log_offset IS NULL;
