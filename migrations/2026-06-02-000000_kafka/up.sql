-- Where the workers are in Kafka, who they are, and what could not be stored. Beside the locations and not in Kafka, so that
-- rows, dead letters and offset are committed together.

CREATE TABLE kafka_partition (
    topic       text    NOT NULL,
    partition   integer NOT NULL,
    -- The next record to be stored; all before it are stored, dead letters, or never were.
    next_offset bigint  NOT NULL DEFAULT 0,
    -- The worker that may move next_offset; NULL: nobody, take it.
    owner       text,
    PRIMARY KEY (topic, partition)
);

CREATE TABLE kafka_worker (
    topic       text        NOT NULL,
    worker      text        NOT NULL,
    -- By this server's clock, the only one that counts: the workers' clocks may be wrong.
    lease_until timestamptz NOT NULL,
    PRIMARY KEY (topic, worker)
);

CREATE TABLE dead_letter (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic        text        NOT NULL,
    partition    integer     NOT NULL,
    -- One record; or a range of which nothing could be read (then there is no key and no value).
    first_offset bigint      NOT NULL,
    last_offset  bigint      NOT NULL,
    key          bytea,
    value        bytea,
    content_type bytea,
    record_time  timestamptz,
    reason       text        NOT NULL,
    -- When it was set aside.
    time         timestamptz NOT NULL DEFAULT now()
);
-- "What became of this record?"
CREATE INDEX dead_letter_place ON dead_letter (topic, partition, first_offset);

-- Renews a worker's lease and divides the topic's partitions anew; returns the worker's own.
--
-- Every worker may hold its share of n partitions among w workers: n / w, and one more for the first n % w, counted by how many
-- they hold already, so that as little as possible moves. Who holds more gives up the surplus, who holds less takes what is
-- free: given up, or of a worker whose lease has run out. A row that is locked is being committed to at this moment; it is
-- left for the next time, so that nobody waits here for a worker that hangs.
CREATE FUNCTION kafka_heartbeat(in_topic text, in_worker text, in_partitions integer, in_lease interval)
RETURNS TABLE (own_partition integer, own_next_offset bigint)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    this_moment timestamptz;
    quota       integer;
    held        integer;
BEGIN
    -- One statement is one transaction: whoever dies here holds nothing.
    PERFORM pg_advisory_xact_lock(hashtext('kafka_heartbeat'), hashtext(in_topic));
    this_moment := clock_timestamp();
    DELETE FROM kafka_worker WHERE topic = in_topic AND lease_until < this_moment AND worker <> in_worker;
    INSERT INTO kafka_worker VALUES (in_topic, in_worker, this_moment + in_lease)
        ON CONFLICT (topic, worker) DO UPDATE SET lease_until = excluded.lease_until;
    INSERT INTO kafka_partition (topic, partition)
        SELECT in_topic, p FROM generate_series(0, in_partitions - 1) AS p
        WHERE NOT EXISTS (SELECT FROM kafka_partition WHERE topic = in_topic AND partition = p);

    SELECT total / workers + (place <= total % workers)::integer INTO quota
    FROM (
        SELECT w.worker,
               row_number() OVER (ORDER BY count(p.partition) DESC, w.worker) AS place,
               (SELECT count(*)::integer FROM kafka_worker WHERE topic = in_topic) AS workers,
               (SELECT count(*)::integer FROM kafka_partition WHERE topic = in_topic) AS total
        FROM kafka_worker AS w LEFT JOIN kafka_partition AS p ON p.topic = w.topic AND p.owner = w.worker
        WHERE w.topic = in_topic
        GROUP BY w.worker
    ) AS shares
    WHERE worker = in_worker;
    SELECT count(*) INTO held FROM kafka_partition WHERE topic = in_topic AND owner = in_worker;

    IF held > quota THEN
        UPDATE kafka_partition SET owner = NULL WHERE topic = in_topic AND partition IN (
            SELECT partition FROM kafka_partition WHERE topic = in_topic AND owner = in_worker
            ORDER BY partition DESC LIMIT held - quota FOR UPDATE SKIP LOCKED);
    ELSIF held < quota THEN
        UPDATE kafka_partition SET owner = in_worker WHERE topic = in_topic AND partition IN (
            SELECT partition FROM kafka_partition
            WHERE topic = in_topic
              AND (owner IS NULL OR owner NOT IN (SELECT worker FROM kafka_worker WHERE topic = in_topic))
            ORDER BY partition LIMIT quota - held FOR UPDATE SKIP LOCKED);
    END IF;

    RETURN QUERY SELECT partition, next_offset FROM kafka_partition
        WHERE topic = in_topic AND owner = in_worker ORDER BY partition;
END $$;
