-- Persons are found as people type them: "sorensen" is Sørensen, "obrien" O’Brien, "jeanluc" Jean-Luc. The folding is here and
-- not in the program, so that every row has it whoever writes it: an older program that runs beside, an import, psql.
-- `search_text` and its index stay for older programs.
--
-- Everything that these functions use is in pg_catalog, so they mean the same whatever the search_path is. They are written for
-- the database that they are in, since not every server knows Unicode's rules and not every encoding is Unicode's.

-- What remains of a text for finding it: no case, accents, apostrophes or invisible characters; words apart by one space.
DO $migration$
DECLARE
    -- Case by Unicode's rules also where the database's own locale knows ASCII alone.
    unicode text := (SELECT ' COLLATE pg_catalog."und-x-icu"' FROM pg_collation
                     WHERE collname = 'und-x-icu' AND collnamespace = 'pg_catalog'::regnamespace);
BEGIN
    IF getdatabaseencoding() <> 'UTF8' THEN
        -- Names are of one alphabet here; accents stay.
        CREATE FUNCTION search_fold(name text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $fold$
            SELECT btrim(regexp_replace(lower(translate(name, '''`', '')), '[\s,.;:/()"&?!\[\]{}-]+', ' ', 'g'))
        $fold$;
        RETURN;
    END IF;
    EXECUTE format($create$
CREATE FUNCTION search_fold(name text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $fold$
BEGIN
    -- Most names are ASCII, for which a tenth of the work is enough.
    IF name !~ '[^ -~]' THEN
        RETURN btrim(regexp_replace(lower(translate(name, '''`', '')), '[\s,.;:/()"&?!\[\]{}-]+', ' ', 'g'));
    END IF;
    -- Apostrophes and what is written for them, and what nobody sees. Before decomposing, which makes spaces of some.
    name := regexp_replace(name, '['
        '''`\u00B4\u02B9-\u02BF\u02C8\u02CA\u02CB\u2018-\u201B\u2032\u2035\u05F3\u05F4\uA78B\uA78C\uFF07'
        '\u00AD\u034F\u061C\u180B-\u180E\u200B-\u200F\u202A-\u202E\u2060-\u206F\uFE00-\uFE0F\uFEFF]+', '', 'g');
    -- Accents of Latin, Greek and Cyrillic; points of Hebrew; vowels, hamzas and stretching of Arabic. The vowel signs of other
    -- scripts are letters and stay.
    name := regexp_replace(normalize(name, NFKD), '['
        '\u0300-\u036F\u0483-\u0487\u0591-\u05BD\u05BF\u05C1\u05C2\u05C4\u05C5\u05C7'
        '\u0610-\u061A\u0640\u064B-\u065F\u0670\u06D6-\u06DC\u1AB0-\u1AFF\u1DC0-\u1DFF\uFE20-\uFE2F]+', '', 'g');
    name := lower(name%s);
    -- Letters that do not decompose, as whoever lacks them on the keyboard types them.
    name := translate(name,
        U&'\00F8\0142\0111\00F0\0127\0131\0167\0180\0253\0257\0199\01B4\014B\0259\01DD\0254\025B\03C2\0649\06CC\06A9\0629',
        U&'olddhitbbdkyneeoe\03C3\064A\064A\0643\0647');
    name := replace(replace(replace(replace(name, U&'\00DF', 'ss'), U&'\00E6', 'ae'), U&'\0153', 'oe'), U&'\00FE', 'th');
    RETURN btrim(regexp_replace(name, '['
        '\s,.;:/()"&?!\[\]{}\u00A1\u00AB\u00B7\u00BB\u00BF\u05BE\u060C\u061B\u061F\u2010-\u2015\u201C-\u201F\u2022\u2039\u203A'
        '\u2212\u3001\u3002\u3008-\u3011\u30FB-]+', ' ', 'g'));
END $fold$
    $create$, coalesce(unicode, ''));
END $migration$;

-- In what a person is found: the names and the company, and each again without spaces, so that "vandyke" is van Dyke.
CREATE FUNCTION person_search(first_name text, last_name text, company_name text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path FROM CURRENT AS $$
BEGIN
    first_name := search_fold(first_name);
    last_name := search_fold(last_name);
    company_name := search_fold(company_name);
    RETURN concat_ws(' ', first_name, last_name, company_name,
        replace(first_name, ' ', ''), replace(last_name, ' ', ''), replace(company_name, ' ', ''));
END $$;

-- What LIKE looks for when this word is typed; what stands between hyphens may stand apart. A word of which nothing remains is in
-- everything.
CREATE FUNCTION search_pattern(word text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path FROM CURRENT AS $$
BEGIN
    word := replace(replace(replace(search_fold(word), '\', '\\'), '%', '\%'), '_', '\_');
    RETURN '%' || replace(word, ' ', '%') || '%';
END $$;

ALTER TABLE person ADD COLUMN search text NOT NULL
    GENERATED ALWAYS AS (person_search(first_name, last_name, company_name)) STORED;
CREATE INDEX person_search_folded ON person USING gin (search gin_trgm_ops);
-- The planner knows nothing of a new column until it is told.
ANALYZE person;
