-- Makes the schema, which must not be there: what this makes is the caller's to drop, and nothing else is.
DO $$
DECLARE
  wanted CONSTANT text := current_setting('payment_delivery.schema');
BEGIN
  EXECUTE format('CREATE SCHEMA %I', wanted);
  -- The mark by which drop.sql knows a schema that it may drop.
  EXECUTE format('COMMENT ON SCHEMA %I IS %L', wanted, 'made by payment-delivery');
END
$$
