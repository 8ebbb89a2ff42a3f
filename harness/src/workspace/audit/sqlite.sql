-- As postgres.sql. SQLite's clock ticks in milliseconds.
CREATE TABLE IF NOT EXISTS delivery_writes (
  order_id      TEXT NOT NULL,
  before        INTEGER NOT NULL,
  revision      INTEGER NOT NULL,
  log_partition INTEGER,
  log_offset    INTEGER,
  content       TEXT,
  written_us    INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS parked_writes (
  order_id      TEXT NOT NULL,
  first         INTEGER NOT NULL,
  last          INTEGER NOT NULL,
  log_partition INTEGER NOT NULL,
  log_offset    INTEGER NOT NULL,
  content       TEXT NOT NULL
) STRICT;

CREATE TRIGGER IF NOT EXISTS count_inserts AFTER INSERT ON deliveries WHEN NEW.revision > 0 BEGIN
  INSERT INTO delivery_writes VALUES (
    NEW.order_id, 0, NEW.revision, NEW.log_partition, NEW.log_offset,
    NEW.amount_minor || '|' || NEW.currency || '|' || NEW.address, CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER));
END;

CREATE TRIGGER IF NOT EXISTS count_updates
  AFTER UPDATE OF revision, applied, status, amount_minor, currency, address, log_partition, log_offset ON deliveries
  WHEN NEW.revision > 0 OR OLD.revision > 0 BEGIN
  INSERT INTO delivery_writes VALUES (
    NEW.order_id, OLD.revision, NEW.revision, NEW.log_partition, NEW.log_offset,
    NEW.amount_minor || '|' || NEW.currency || '|' || NEW.address, CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER));
END;

CREATE TRIGGER IF NOT EXISTS count_parked_again AFTER UPDATE ON parked_events BEGIN
  INSERT INTO parked_writes VALUES (
    NEW.order_id, NEW.first, NEW.last, NEW.log_partition, NEW.log_offset,
    NEW.amount_minor || '|' || NEW.currency || '|' || NEW.address);
END;

CREATE TRIGGER IF NOT EXISTS count_parked AFTER INSERT ON parked_events BEGIN
  INSERT INTO parked_writes VALUES (
    NEW.order_id, NEW.first, NEW.last, NEW.log_partition, NEW.log_offset,
    NEW.amount_minor || '|' || NEW.currency || '|' || NEW.address);
END;
