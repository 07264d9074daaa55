-- Storing waits while the indexes are made.
DO $do$ BEGIN
    IF EXISTS (SELECT FROM event WHERE id <> 1) THEN
        RAISE EXCEPTION 'there are other events than the first; delete them before going back to where there is only one';
    END IF;
END $do$;
CREATE FUNCTION event_is_the_only_one() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION 'there can be no second event while an older version of the program may run; run "udaconnect migrate --contract" when none does'
        USING ERRCODE = 'object_not_in_prerequisite_state';
END $body$;
CREATE TRIGGER event_is_the_only_one BEFORE INSERT ON event FOR EACH STATEMENT EXECUTE FUNCTION event_is_the_only_one();

ALTER TABLE person DROP CONSTRAINT person_pkey, DROP CONSTRAINT person_external_key_key;
CREATE UNIQUE INDEX person_pkey_event ON person (event_id, id);
CREATE UNIQUE INDEX person_external_key_event ON person (event_id, external_key);
ALTER TABLE person ADD PRIMARY KEY (id), ADD UNIQUE (external_key);

ALTER INDEX location_identity RENAME TO location_identity_event;
ALTER INDEX location_cell_time RENAME TO location_cell_time_event;
ALTER INDEX location_id RENAME TO location_id_event;
CREATE UNIQUE INDEX location_identity ON location (person_id, creation_time, coordinate) INCLUDE (id, accuracy_m);
CREATE INDEX location_cell_time ON location (cell, creation_time) INCLUDE (person_id, coordinate, id, accuracy_m);
CREATE INDEX location_id ON location (id);
