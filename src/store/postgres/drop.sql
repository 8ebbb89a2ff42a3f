-- Drops the tables, and the schema if schema.sql made it and nothing else moved in.
DO $$
DECLARE
  wanted CONSTANT text := current_setting('payment_delivery.schema');
BEGIN
  DROP TABLE IF EXISTS deliveries, parked_events;
  -- Its name is a common one, so it must bear payments.sql's mark.
  IF obj_description(to_regclass('payments'), 'pg_class') = 'made by payment-delivery' THEN
    DROP TABLE payments;
  END IF;
  IF EXISTS (SELECT FROM pg_namespace
             WHERE nspname = wanted AND obj_description(oid, 'pg_namespace') = 'made by payment-delivery') THEN
    EXECUTE format('DROP SCHEMA %I RESTRICT', wanted);
  END IF;
END
$$
