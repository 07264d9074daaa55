DROP FUNCTION kafka_heartbeat(text, text, integer, interval);
DROP TABLE dead_letter;
DROP TABLE kafka_worker;
DROP TABLE kafka_partition;
