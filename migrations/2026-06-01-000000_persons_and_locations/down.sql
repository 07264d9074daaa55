DROP FUNCTION location_make_partition(date);
DROP TABLE location;
DROP SEQUENCE location_id_seq;
DROP TABLE person;
-- The extensions stay: something else in this database may use them.
