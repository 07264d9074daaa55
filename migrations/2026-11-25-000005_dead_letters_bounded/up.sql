-- Whom a dead letter is about, so that erasing a person erases their letters; how much each keeps, so that all of them can be
-- bounded; and what is left of one that was erased or discarded, so that its receipt does not say "stored".

ALTER TABLE dead_letter
    -- Whom the value names, where that can be read; filled by the program.
    ADD COLUMN person_id     bigint,
    -- Whom the key names: the id in decimal digits, as this program's own producers write it.
    ADD COLUMN key_person_id bigint GENERATED ALWAYS AS (
        CASE WHEN octet_length(key) BETWEEN 1 AND 18 AND encode(key, 'escape') ~ '^[0-9]+$'
               OR octet_length(key) = 19 AND encode(key, 'escape') ~ '^[0-9]+$'
                  AND encode(key, 'escape') COLLATE "C" <= '9223372036854775807'
             THEN encode(key, 'escape')::bigint END) STORED,
    -- How long the value was where only its beginning is kept; NULL: all of it is.
    ADD COLUMN value_length  bigint,
    -- When the letter's contents were removed. What is left says where it was, and why it is gone.
    ADD COLUMN emptied       timestamptz,
    -- About what the row takes, in bytes.
    ADD COLUMN size          bigint NOT NULL GENERATED ALWAYS AS (
        128 + coalesce(octet_length(key), 0) + coalesce(octet_length(value), 0)
            + coalesce(octet_length(content_type), 0) + octet_length(reason)) STORED;

-- "Erase this person's."
CREATE INDEX dead_letter_person ON dead_letter (person_id) WHERE person_id IS NOT NULL;
CREATE INDEX dead_letter_key_person ON dead_letter (key_person_id) WHERE key_person_id IS NOT NULL;
-- "How many, how large, which are the oldest?", from the index alone.
CREATE INDEX dead_letter_size ON dead_letter (topic, id) INCLUDE (size);

-- What became of records before this offset is not known any more: the dead letters among them were dropped.
ALTER TABLE kafka_partition ADD COLUMN known_from bigint NOT NULL DEFAULT 0;
