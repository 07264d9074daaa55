-- What is stored of other events would be taken for the first one's.
DO $do$ BEGIN
    IF EXISTS (SELECT FROM event WHERE id <> 1) THEN
        RAISE EXCEPTION 'there are other events than the first; delete them before going back to where there is only one';
    END IF;
END $do$;
DROP TRIGGER event_is_the_only_one ON event;
DROP FUNCTION event_is_the_only_one();
ALTER TABLE dead_letter DROP COLUMN event_id;
ALTER TABLE location DROP COLUMN event_id;
ALTER TABLE person DROP COLUMN event_id;
