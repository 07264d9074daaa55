--! no transaction
-- The indexes anew, with the event first. Those without stay until the contract: older versions read by them, and name them in
-- ON CONFLICT. While both are there, storing a location costs twice as many index entries.

-- What an attempt that was interrupted has left.
--! each row is a statement
SELECT format('DROP INDEX CONCURRENTLY %s', i.indexrelid::regclass) AS line
FROM pg_index AS i JOIN pg_class AS t ON t.oid = i.indrelid
WHERE NOT i.indisvalid AND t.relkind = 'r'
  AND (t.oid IN ('person'::regclass, 'dead_letter'::regclass) OR t.oid IN (SELECT relid FROM pg_partition_tree('location')))
  AND NOT EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhrelid = i.indexrelid);

CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS person_pkey_event ON person (event_id, id);
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS person_external_key_event ON person (event_id, external_key);
-- "Which event is this person of?", for records that do not say.
CREATE INDEX CONCURRENTLY IF NOT EXISTS person_id ON person (id) INCLUDE (event_id);

-- What an event's letters hold: asked for when the event is deleted, or its locations are not kept any longer.
CREATE INDEX CONCURRENTLY IF NOT EXISTS dead_letter_event ON dead_letter (event_id, id) WHERE emptied IS NULL;

-- Of `location` first without the partitions, which the next months' tables get at once; then each partition's, while it is
-- used; then they are put together.
CREATE UNIQUE INDEX IF NOT EXISTS location_identity_event
    ON ONLY location (event_id, person_id, creation_time, coordinate) INCLUDE (id, accuracy_m);
CREATE INDEX IF NOT EXISTS location_cell_time_event
    ON ONLY location (event_id, cell, creation_time) INCLUDE (person_id, coordinate, id, accuracy_m);
CREATE INDEX IF NOT EXISTS location_id_event ON ONLY location (event_id, id);

--! each row is a statement
SELECT regexp_replace(pg_get_indexdef(p.index), 'INDEX \S+ ON ONLY \S+',
                      format('INDEX CONCURRENTLY IF NOT EXISTS %I ON %s', t.relname || p.ending, t.oid::regclass)) AS line
FROM (VALUES ('location_identity_event'::regclass, '_identity_event'), ('location_cell_time_event', '_cell_time_event'),
             ('location_id_event', '_id_event')) AS p (index, ending)
CROSS JOIN pg_partition_tree('location') AS tree JOIN pg_class AS t ON t.oid = tree.relid
WHERE tree.isleaf
  AND NOT EXISTS (SELECT FROM pg_inherits AS h JOIN pg_index AS i ON i.indexrelid = h.inhrelid
                  WHERE h.inhparent = p.index AND i.indrelid = t.oid)
ORDER BY t.relname, p.ending;

--! each row is a statement
SELECT format('ALTER INDEX %s ATTACH PARTITION %s', p.index, i.indexrelid::regclass) AS line
FROM (VALUES ('location_identity_event'::regclass, '_identity_event'), ('location_cell_time_event', '_cell_time_event'),
             ('location_id_event', '_id_event')) AS p (index, ending)
CROSS JOIN pg_partition_tree('location') AS tree JOIN pg_class AS t ON t.oid = tree.relid
JOIN pg_index AS i ON i.indrelid = t.oid JOIN pg_class AS c ON c.oid = i.indexrelid AND c.relname = left(t.relname || p.ending, 63)
WHERE tree.isleaf AND i.indisvalid
  AND NOT EXISTS (SELECT FROM pg_inherits AS h JOIN pg_index AS i ON i.indexrelid = h.inhrelid
                  WHERE h.inhparent = p.index AND i.indrelid = t.oid)
ORDER BY t.relname, p.ending;

DO $do$ BEGIN
    IF EXISTS (SELECT FROM pg_index WHERE NOT indisvalid AND indexrelid IN (
            'location_identity_event'::regclass, 'location_cell_time_event'::regclass, 'location_id_event'::regclass)) THEN
        RAISE EXCEPTION 'a partition of location has come without its indexes; run the migration again'
            USING ERRCODE = 'serialization_failure';
    END IF;
END $do$;

-- The planner knows nothing of a new column until it is told.
ANALYZE person;
ANALYZE location;
