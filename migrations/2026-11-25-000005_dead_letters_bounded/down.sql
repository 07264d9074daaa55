ALTER TABLE kafka_partition DROP COLUMN known_from;
DROP INDEX dead_letter_size, dead_letter_key_person, dead_letter_person;
ALTER TABLE dead_letter
    DROP COLUMN size, DROP COLUMN emptied, DROP COLUMN value_length, DROP COLUMN key_person_id, DROP COLUMN person_id;
