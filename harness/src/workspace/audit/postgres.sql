-- Counts the writes of rows and of parked events, whoever makes them. Unlogged, since it need not outlive a crash: it costs no WAL.
-- What was written is kept as it is: a digest of it would cost a worker more than the bytes do.
CREATE UNLOGGED TABLE delivery_writes (
  order_id      text COLLATE "C" NOT NULL,
  before        integer NOT NULL,
  revision      integer NOT NULL,
  log_partition integer,
  log_offset    bigint,
  content       text,
  written_at    timestamptz NOT NULL
) WITH (autovacuum_enabled = false);

CREATE UNLOGGED TABLE parked_writes (
  order_id      text COLLATE "C" NOT NULL,
  first         integer NOT NULL,
  last          integer NOT NULL,
  log_partition integer NOT NULL,
  log_offset    bigint NOT NULL,
  content       text NOT NULL
) WITH (autovacuum_enabled = false);

CREATE FUNCTION count_delivery_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO @schema@.delivery_writes VALUES (
    NEW.order_id, coalesce(OLD.revision, 0), NEW.revision, NEW.log_partition, NEW.log_offset,
    NEW.amount_minor || '|' || NEW.currency || '|' || NEW.address,
    clock_timestamp());
  RETURN NULL;
END
$$;

CREATE FUNCTION count_parked_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO @schema@.parked_writes VALUES (
    NEW.order_id, NEW.first, NEW.last, NEW.log_partition, NEW.log_offset,
    NEW.amount_minor || '|' || NEW.currency || '|' || NEW.address);
  RETURN NULL;
END
$$;

-- A row of revision 0 only stands for parked events, and the mark of them brings no event either.
CREATE TRIGGER count_inserts AFTER INSERT ON deliveries
  FOR EACH ROW WHEN (NEW.revision > 0) EXECUTE FUNCTION count_delivery_write();
CREATE TRIGGER count_updates
  AFTER UPDATE OF revision, applied, status, amount_minor, currency, address, log_partition, log_offset ON deliveries
  FOR EACH ROW WHEN (NEW.revision > 0 OR OLD.revision > 0) EXECUTE FUNCTION count_delivery_write();
CREATE TRIGGER count_parked AFTER INSERT OR UPDATE ON parked_events
  FOR EACH ROW EXECUTE FUNCTION count_parked_write();
