-- Months' tables that never make anybody wait, years' tables for what is old, and functions that cannot be turned against
-- their owner.
--
-- Attaching a partition needs SHARE UPDATE EXCLUSIVE on `location` and, as there is a default partition, ACCESS EXCLUSIVE on
-- `location_other`. A dump holds ACCESS SHARE on both for as long as it takes, and whoever waits for ACCESS EXCLUSIVE makes
-- everybody wait who comes later. So the function gives up after a tenth of a second (SQLSTATE 55P03); rows go to
-- `location_other` meanwhile and move when it is called again. Callers make months ahead, which nobody needs yet.
--
-- What is older than the beginning of the year before last shares a table with its year. From 2000 to a year from now there
-- can be so and so many months and years: clocks that are wrong, and callers of the function, make no more tables than that.

DO $do$
DECLARE
    home    text := (SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = 'location'::regclass);
    owner   oid  := (SELECT relowner FROM pg_class WHERE oid = 'location'::regclass);
    writer  text;
    name    text;
BEGIN
    -- SECURITY DEFINER: roles need not own the tables to let a new month begin. Nothing but pg_catalog is searched, so that
    -- nobody's function or temporary table takes the place of what is meant here.
    EXECUTE replace($make$
        CREATE FUNCTION @home@.location_ensure_partition(day date, most bigint DEFAULT 200000) RETURNS boolean
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $body$
        DECLARE
            this_year   integer := extract(year FROM now() AT TIME ZONE 'UTC');
            year        text := to_char(day, 'YYYY');
            month       text := to_char(day, 'YYYY_MM');
            partition   text;
            unit        text;
            begin_time  timestamptz;
            end_time    timestamptz;
            waiting     bigint;
        BEGIN
            -- Written out, since "not at all" is an answer too.
            IF day IS NULL OR NOT isfinite(day) OR day < DATE '2000-01-01'
               OR day >= date_trunc('month', now() AT TIME ZONE 'UTC') + interval '13 months' THEN
                RETURN false;
            END IF;
            PERFORM pg_advisory_xact_lock(hashtext('location_make_partition'));
            IF EXISTS (SELECT FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
                       WHERE i.inhparent = '@home@.location'::regclass
                         AND c.relname IN ('location_' || year, 'location_' || month)) THEN
                RETURN true;
            END IF;
            -- A year that has months' tables (from when it was not old) goes on with them.
            unit := CASE
                WHEN extract(year FROM day) < this_year - 2
                     AND NOT EXISTS (SELECT FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
                                     WHERE i.inhparent = '@home@.location'::regclass
                                       AND c.relname LIKE 'location\_' || year || '\_%')
                THEN 'year' ELSE 'month' END;
            partition := 'location_' || CASE unit WHEN 'year' THEN year ELSE month END;
            begin_time := date_trunc(unit, day::timestamp) AT TIME ZONE 'UTC';
            end_time := (date_trunc(unit, day::timestamp) + ('1 ' || unit)::interval) AT TIME ZONE 'UTC';
            IF to_regclass(format('%s.%I', '@home@', partition)) IS NOT NULL THEN
                RAISE EXCEPTION 'there is a table %, which is no partition of location', partition
                    USING ERRCODE = 'duplicate_table', HINT = 'Attach it, rename it or drop it.';
            END IF;
            SELECT count(*) INTO waiting FROM (
                SELECT FROM @home@.location_other WHERE creation_time >= begin_time AND creation_time < end_time
                LIMIT most + 1) AS counted;
            IF waiting > most THEN
                RAISE EXCEPTION 'location_other holds more than % rows of %, too many to move while everybody waits',
                    most, partition
                    USING ERRCODE = 'program_limit_exceeded',
                          HINT = format('In a quiet hour: SELECT location_ensure_partition(%L, NULL)', day);
            END IF;
            EXECUTE format('CREATE TABLE %s.%I (LIKE @home@.location INCLUDING DEFAULTS)', '@home@', partition);
            LOCK TABLE ONLY @home@.location IN SHARE UPDATE EXCLUSIVE MODE;
            -- From here on others wait: for the lock, and then for what is done under it.
            PERFORM set_config('lock_timeout', '100ms', true);
            LOCK TABLE ONLY @home@.location_other IN ACCESS EXCLUSIVE MODE;
            EXECUTE format(
                'WITH moved AS (
                     DELETE FROM @home@.location_other WHERE creation_time >= %L AND creation_time < %L RETURNING *)
                 INSERT INTO %s.%I SELECT * FROM moved', begin_time, end_time, '@home@', partition);
            EXECUTE format('ALTER TABLE @home@.location ATTACH PARTITION %s.%I FOR VALUES FROM (%L) TO (%L)',
                '@home@', partition, begin_time, end_time);
            RETURN true;
        END $body$
    $make$, '@home@', home);

    -- As older versions of the program call it. With the rights of whoever calls.
    EXECUTE replace($make$
        CREATE OR REPLACE FUNCTION @home@.location_make_partition(day date) RETURNS void
        LANGUAGE sql SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $body$
            SELECT @home@.location_ensure_partition(day)
        $body$
    $make$, '@home@', home);

    FOREACH name IN ARRAY ARRAY['location_ensure_partition(date, bigint)', 'location_make_partition(date)'] LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s.%s FROM PUBLIC', home, name);
        -- Whoever may store locations may let a month begin: those who have INSERT by name, and through pg_write_all_data.
        FOR writer IN
            SELECT DISTINCT (granted.acl).grantee::regrole::text
            FROM (SELECT aclexplode(relacl) AS acl FROM pg_class WHERE oid = 'location'::regclass
                  UNION ALL
                  SELECT aclexplode(attacl) FROM pg_attribute WHERE attrelid = 'location'::regclass) AS granted
            WHERE (granted.acl).privilege_type = 'INSERT' AND (granted.acl).grantee NOT IN (0, owner)
            UNION
            SELECT roleid::regrole::text FROM pg_auth_members WHERE roleid = 'pg_write_all_data'::regrole
        LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s.%s TO %s', home, name, writer);
        END LOOP;
    END LOOP;
END $do$;
