ALTER TABLE person DROP COLUMN search;
DROP FUNCTION person_search(text, text, text);
DROP FUNCTION search_pattern(text);
DROP FUNCTION search_fold(text);
