-- Creates the schema and its tables where they are missing, once however many workers start together.
--
-- The schema's name comes in as a setting of the connection, so that this text stays the same for every schema and
-- the server itself quotes the name. What exists is looked for first, because `IF NOT EXISTS` asks for the right to
-- create even where nothing is missing.
DO $$
DECLARE
  wanted CONSTANT text := current_setting('payment_delivery.schema');
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('payment_delivery ' || wanted, 0));

  IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = wanted) THEN
    EXECUTE format('CREATE SCHEMA %I', wanted);
    -- The mark by which drop.sql knows a schema that it may drop.
    EXECUTE format('COMMENT ON SCHEMA %I IS %L', wanted, 'made by payment-delivery');
  END IF;

  IF to_regclass('deliveries') IS NULL THEN
    -- A row of revision 0 stands for an order of which only parked events are known: something to lock.
    CREATE TABLE deliveries (
      order_id      text COLLATE "C" PRIMARY KEY,
      revision      integer NOT NULL CHECK (revision >= 0),
      applied       integer NOT NULL CHECK (applied >= 0),
      status        text,
      amount_minor  bigint,
      currency      text CHECK (length(currency) = 3),
      address       text,
      log_partition integer,
      log_offset    bigint,
      has_parked    boolean NOT NULL DEFAULT false,
      updated_at    timestamptz NOT NULL DEFAULT now(),
      CHECK (revision = 0
             OR num_nonnulls(status, amount_minor, currency, address, log_partition, log_offset) = 6)
    ) WITH (fillfactor = 70); -- room on the page for the next version of a row, whose index entry then stays
  END IF;

  IF to_regclass('parked_events') IS NULL THEN
    -- The same columns and checks as above: what a row would refuse is refused here already, while the message that
    -- is at fault is the one in hand.
    CREATE TABLE parked_events (
      order_id      text COLLATE "C" NOT NULL,
      first         integer NOT NULL,
      last          integer NOT NULL,
      amount_minor  bigint NOT NULL,
      currency      text NOT NULL CHECK (length(currency) = 3),
      address       text NOT NULL,
      log_partition integer NOT NULL,
      log_offset    bigint NOT NULL,
      parked_at     timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (order_id, last),
      CHECK (1 < first AND first <= last)
    );
  END IF;
END
$$
