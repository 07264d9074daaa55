--! no transaction
-- Every row gets its event: those that are there, and those that older versions write, the first. A column with a constant
-- default is a change of the catalogue: no row is rewritten.

ALTER TABLE person ADD COLUMN IF NOT EXISTS event_id integer NOT NULL DEFAULT 1;
ALTER TABLE location ADD COLUMN IF NOT EXISTS event_id integer NOT NULL DEFAULT 1;
-- The event of the person that a letter is about; NULL where that is not known.
ALTER TABLE dead_letter ADD COLUMN IF NOT EXISTS event_id integer;

-- Nobody is of an event that does not exist. Locations have no such key, as they have none to their person: the store locks the
-- persons of a batch instead.
DO $do$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conname = 'person_event' AND conrelid = 'person'::regclass) THEN
        ALTER TABLE person ADD CONSTRAINT person_event FOREIGN KEY (event_id) REFERENCES event (id) NOT VALID;
    END IF;
END $do$;
ALTER TABLE person VALIDATE CONSTRAINT person_event;

-- An older version that runs beside knows one event only, and would take another's persons for its own. Until the contract there
-- is none.
CREATE OR REPLACE FUNCTION event_is_the_only_one() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION 'there can be no second event while an older version of the program may run; run "udaconnect migrate --contract" when none does'
        USING ERRCODE = 'object_not_in_prerequisite_state';
END $body$;
CREATE OR REPLACE TRIGGER event_is_the_only_one BEFORE INSERT ON event
    FOR EACH STATEMENT EXECUTE FUNCTION event_is_the_only_one();
