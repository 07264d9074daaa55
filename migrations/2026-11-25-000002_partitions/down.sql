-- Tables of years stay: they are partitions like any other.
DROP FUNCTION location_ensure_partition(date, bigint);
DROP FUNCTION location_make_partition(date);
-- Makes the partition for the month of `day` unless it exists; what had gone to the default partition moves over.
-- SECURITY DEFINER: roles need not own the tables to let a new month begin.
CREATE FUNCTION location_make_partition(day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    month_begin timestamptz := date_trunc('month', day::timestamp) AT TIME ZONE 'UTC';
    month_end   timestamptz := (date_trunc('month', day::timestamp) + interval '1 month') AT TIME ZONE 'UTC';
    partition   text := 'location_' || to_char(day, 'YYYY_MM');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('location_make_partition'));
    IF to_regclass(partition) IS NOT NULL THEN
        RETURN;
    END IF;
    -- Waits for inserts under way, so that no row of this month slips into the default partition meanwhile.
    LOCK TABLE location_other IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('CREATE TABLE %I (LIKE location INCLUDING DEFAULTS)', partition);
    EXECUTE format(
        'WITH moved AS (DELETE FROM location_other WHERE creation_time >= %L AND creation_time < %L RETURNING *)
         INSERT INTO %I SELECT * FROM moved', month_begin, month_end, partition);
    EXECUTE format('ALTER TABLE location ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        partition, month_begin, month_end);
END $$;
