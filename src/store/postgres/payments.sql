-- Creates the schema and the table of accepted payments where they are missing. As schema.sql otherwise.
DO $$
DECLARE
  wanted CONSTANT text := current_setting('payment_delivery.schema');
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('payment_delivery ' || wanted, 0));

  IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = wanted) THEN
    EXECUTE format('CREATE SCHEMA %I', wanted);
    EXECUTE format('COMMENT ON SCHEMA %I IS %L', wanted, 'made by payment-delivery');
  END IF;

  IF to_regclass('payments') IS NULL THEN
    CREATE TABLE payments (
      order_id        text COLLATE "C" NOT NULL,
      revision        integer NOT NULL CHECK (revision > 0),
      idempotency_key text COLLATE "C" UNIQUE,
      request         text NOT NULL,
      payload         bytea NOT NULL,
      topic           text NOT NULL,
      instance        text NOT NULL,
      accepted_at     bigint NOT NULL, -- milliseconds of Unix time, which is also the message's timestamp
      log_partition   integer,
      log_offset      bigint,
      PRIMARY KEY (order_id, revision),
      CHECK ((log_partition IS NULL) = (log_offset IS NULL))
    );
    COMMENT ON TABLE payments IS 'made by payment-delivery';
    -- What is pending is found at once, and an order can't have two.
    CREATE UNIQUE INDEX payments_pending ON payments (order_id) WHERE log_offset IS NULL;
  END IF;
END
$$
