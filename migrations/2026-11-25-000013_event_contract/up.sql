-- What only versions use that know one event: the keys and indexes without it. All at once, for a moment: nothing but the
-- catalogue changes. Persons come first, as they do for whoever stores: in the other order the two would wait for each other.
ALTER TABLE person DROP CONSTRAINT person_pkey, ADD CONSTRAINT person_pkey PRIMARY KEY USING INDEX person_pkey_event;
ALTER TABLE person DROP CONSTRAINT person_external_key_key,
    ADD CONSTRAINT person_external_key_key UNIQUE USING INDEX person_external_key_event;
DROP INDEX location_identity, location_cell_time, location_id;
ALTER INDEX location_identity_event RENAME TO location_identity;
ALTER INDEX location_cell_time_event RENAME TO location_cell_time;
ALTER INDEX location_id_event RENAME TO location_id;
DROP TRIGGER event_is_the_only_one ON event;
DROP FUNCTION event_is_the_only_one();
