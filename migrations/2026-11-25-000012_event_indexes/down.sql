DROP INDEX location_id_event, location_cell_time_event, location_identity_event;
DROP INDEX dead_letter_event, person_id, person_external_key_event, person_pkey_event;
