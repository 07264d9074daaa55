//! The tables, as diesel knows them. Columns that only SQL fills and reads (`search`, `search_text`, a dead letter's `size`) are absent.

diesel::table! {
    person (event_id, id) {
        event_id -> Integer,
        id -> BigInt,
        first_name -> Text,
        last_name -> Text,
        company_name -> Text,
        external_key -> Nullable<Text>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use diesel_geography::sql_types::Geography;

    location (event_id, id) {
        event_id -> Integer,
        id -> BigInt,
        person_id -> BigInt,
        creation_time -> Timestamptz,
        cell -> BigInt,
        accuracy_m -> Nullable<Double>,
        coordinate -> Geography,
    }
}

diesel::table! {
    kafka_partition (topic, partition) {
        topic -> Text,
        partition -> Integer,
        next_offset -> BigInt,
        owner -> Nullable<Text>,
        known_from -> BigInt,
    }
}

diesel::table! {
    kafka_worker (topic, worker) {
        topic -> Text,
        worker -> Text,
        lease_until -> Timestamptz,
    }
}

diesel::table! {
    dead_letter (id) {
        id -> BigInt,
        topic -> Text,
        partition -> Integer,
        first_offset -> BigInt,
        last_offset -> BigInt,
        key -> Nullable<Binary>,
        value -> Nullable<Binary>,
        content_type -> Nullable<Binary>,
        record_time -> Nullable<Timestamptz>,
        reason -> Text,
        time -> Timestamptz,
        event_id -> Nullable<Integer>,
        person_id -> Nullable<BigInt>,
        key_person_id -> Nullable<BigInt>,
        value_length -> Nullable<BigInt>,
        emptied -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    event (id) {
        id -> Integer,
        slug -> Text,
        name -> Text,
        time_zone -> Text,
        begins -> Nullable<Timestamptz>,
        ends -> Nullable<Timestamptz>,
        access -> Text,
        distance_m -> Double,
        within_us -> BigInt,
        gap_us -> BigInt,
        retention_days -> Nullable<Integer>,
        k -> Integer,
    }
}
