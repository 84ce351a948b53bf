"""StarRocks' functions as DuckDB macros, for those whose meaning differs: one SQL expression each.

`error('sr:…')` refuses a case whose treatment is not known, by name, when a row comes to it; `failures.refusal` reads it.
Texts are made with `sr_text`, bytes with `sr_bytes` (both in the store).
"""

from __future__ import annotations

_MOMENT = r"\d{4}-\d{1,2}-\d{1,2}([ T]\d{1,2}:\d{1,2}:\d{1,2}(\.\d{1,6})?)?"
_UPPER, _LOWER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"
_INTEGERS = "'TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'INTEGER_LITERAL', 'HUGEINT'"
_DECIMAL = "(typeof(a) LIKE 'DECIMAL%' OR typeof(b) LIKE 'DECIMAL%')"

# name -> parameters and expression; the order is that of use.
_BODIES = {
    "sr_ts(x)": f"""CASE WHEN x IS NULL THEN NULL
        WHEN regexp_full_match(trim(x::VARCHAR), '{_MOMENT}') THEN TRY_CAST(trim(x::VARCHAR) AS TIMESTAMP)
        ELSE error('sr:a text or number as a date that is not YYYY-MM-DD[ HH:MM:SS]') END""",
    "sr_date(x)": "sr_ts(x)::DATE",
    # Arithmetic
    "sr_div(a, b)": f"""CASE WHEN {_DECIMAL} THEN error('sr:division of DECIMALs')
        ELSE TRY_CAST(a AS DOUBLE) / nullif(TRY_CAST(b AS DOUBLE), 0) END""",
    "sr_intdiv(a, b)": f"""CASE WHEN b = 0 THEN NULL
        WHEN typeof(a) IN ({_INTEGERS}) AND typeof(b) IN ({_INTEGERS})
        THEN CAST(TRY_CAST(a::VARCHAR AS HUGEINT) // TRY_CAST(b::VARCHAR AS HUGEINT) AS BIGINT)
        ELSE CAST(trunc(TRY_CAST(a AS DOUBLE) / TRY_CAST(b AS DOUBLE)) AS BIGINT) END""",
    "sr_mod(a, b)": "CASE WHEN b = 0 THEN NULL ELSE a % b END",
    "sr_undecimal(x)": "CASE WHEN typeof(x) LIKE 'DECIMAL%' THEN error('sr:avg of DECIMALs') ELSE x END",
    "sr_ceil(x)": "TRY_CAST(ceil(TRY_CAST(x AS DOUBLE)) AS BIGINT)",
    "sr_floor(x)": "TRY_CAST(floor(TRY_CAST(x AS DOUBLE)) AS BIGINT)",
    "sr_round(x)": "TRY_CAST(round(TRY_CAST(x AS DOUBLE)) AS BIGINT)",
    "sr_truncate(x, d)": """CASE WHEN typeof(x) LIKE 'DECIMAL%' AND d >= 0
        THEN TRY_CAST(regexp_extract(x::VARCHAR, '^-?\\d+(\\.\\d{0,' || d::VARCHAR || '})?') AS DOUBLE)
        ELSE trunc(TRY_CAST(x AS DOUBLE) * pow(10, d)) / pow(10, d) END""",
    "sr_sqrt(x)": "CASE WHEN x < 0 THEN NULL ELSE sqrt(x) END",
    "sr_ln(x)": "CASE WHEN x <= 0 THEN NULL ELSE ln(x) END",
    "sr_log2(x)": "CASE WHEN x <= 0 THEN NULL ELSE log2(x) END",
    "sr_log10(x)": "CASE WHEN x <= 0 THEN NULL ELSE log10(x) END",
    "sr_log(b, x)": "CASE WHEN x <= 0 OR b <= 0 OR b = 1 THEN NULL ELSE ln(x) / ln(b) END",
    "sr_asin(x)": "CASE WHEN abs(x) > 1 THEN NULL ELSE asin(x) END",
    "sr_acos(x)": "CASE WHEN abs(x) > 1 THEN NULL ELSE acos(x) END",
    "sr_sign(x)": "sign(TRY_CAST(x AS DOUBLE))::FLOAT",
    # Conversions
    "sr_int_text(x)": "CASE WHEN regexp_full_match(trim(x), '[+-]?\\d+') THEN trim(x) END",
    "sr_whole(x)": """CASE WHEN typeof(x) = 'VARCHAR' THEN sr_int_text(x::VARCHAR)
        WHEN typeof(x) LIKE 'DECIMAL%' THEN regexp_extract(x::VARCHAR, '^[+-]?\\d+')
        WHEN typeof(x) IN ('DOUBLE', 'FLOAT') THEN CASE WHEN abs(TRY_CAST(x AS DOUBLE)) < 1e38
            THEN trunc(TRY_CAST(x AS DOUBLE))::HUGEINT::VARCHAR END
        WHEN typeof(x) = 'BOOLEAN' THEN CASE WHEN x::VARCHAR = 'true' THEN '1' WHEN x IS NOT NULL THEN '0' END
        WHEN typeof(x) = 'DATE' THEN replace(x::VARCHAR, '-', '')
        WHEN typeof(x) = 'TIMESTAMP' THEN left(replace(replace(replace(x::VARCHAR, '-', ''), ':', ''), ' ', ''), 14)
        WHEN typeof(x) = 'JSON' THEN error('sr:CAST of JSON to an integer') ELSE x::VARCHAR END""",
    "sr_bool(x)": """CASE WHEN typeof(x) = 'VARCHAR' THEN CASE WHEN sr_int_text(x::VARCHAR) IS NOT NULL
            THEN TRY_CAST(sr_int_text(x::VARCHAR) AS INTEGER) <> 0
            WHEN lower(trim(x::VARCHAR)) = 'true' THEN true WHEN lower(trim(x::VARCHAR)) = 'false' THEN false END
        WHEN typeof(x) IN ('DATE', 'TIMESTAMP', 'JSON', 'BLOB') THEN error('sr:this CAST to BOOLEAN')
        ELSE TRY_CAST(x::VARCHAR AS DOUBLE) <> 0 OR x::VARCHAR = 'true' END""",
    "sr_double(x)": """CASE WHEN typeof(x) = 'JSON' THEN error('sr:CAST of JSON to a number')
        WHEN isfinite(TRY_CAST(x AS DOUBLE)) THEN TRY_CAST(x AS DOUBLE)
        WHEN typeof(x) IN ('DOUBLE', 'FLOAT') THEN TRY_CAST(x AS DOUBLE) END""",
    "sr_bounded(x, n)": """CASE WHEN octet_length(encode(sr_text(x))) <= n THEN sr_text(x)
        ELSE CASE WHEN x IS NULL THEN NULL ELSE error('sr:CAST to a CHAR or VARCHAR that is too short') END END""",
    "sr_json_text(x)": """CASE json_type(x) WHEN 'VARCHAR' THEN json_extract_string(x, '$')
        WHEN 'OBJECT' THEN error('sr:the text of a computed JSON object')
        WHEN 'ARRAY' THEN error('sr:the text of a computed JSON array') ELSE x::VARCHAR END""",
    # Texts
    "sr_length(x)": "octet_length(sr_bytes(x))::INTEGER",
    "sr_char_length(x)": "length(sr_text(x))::INTEGER",
    "sr_lower(x)": f"translate(sr_text(x), '{_UPPER}', '{_LOWER}')",
    "sr_upper(x)": f"translate(sr_text(x), '{_LOWER}', '{_UPPER}')",
    "sr_substr2(s, p)": """CASE WHEN p = 0 OR abs(p) > length(s) THEN CASE WHEN s IS NULL THEN NULL ELSE '' END
        WHEN p < 0 THEN right(s, -p) ELSE substr(s, p) END""",
    "sr_substr(s, p, n)": """CASE WHEN n <= 0 THEN CASE WHEN s IS NULL OR p IS NULL THEN NULL ELSE '' END
        ELSE left(sr_substr2(s, p), n) END""",
    "sr_left(s, n)": "CASE WHEN n <= 0 THEN CASE WHEN s IS NULL THEN NULL ELSE '' END ELSE left(s, n) END",
    "sr_right(s, n)": "CASE WHEN n <= 0 THEN CASE WHEN s IS NULL THEN NULL ELSE '' END ELSE right(s, n) END",
    "sr_repeat(s, n)": """CASE WHEN n <= 0 THEN CASE WHEN s IS NULL THEN NULL ELSE '' END
        WHEN length(s) * n > 1048576 THEN error('sr:repeat beyond 1 MB') ELSE repeat(s, n) END""",
    "sr_lpad(s, n, p)": """CASE WHEN n < 0 THEN NULL WHEN n > 1048576 THEN error('sr:lpad beyond 1 MB')
        WHEN n <= length(s) THEN left(s, n) WHEN p = '' THEN s ELSE lpad(s, n::INTEGER, p) END""",
    "sr_rpad(s, n, p)": """CASE WHEN n < 0 THEN NULL WHEN n > 1048576 THEN error('sr:rpad beyond 1 MB')
        WHEN n <= length(s) THEN left(s, n) WHEN p = '' THEN s ELSE rpad(s, n::INTEGER, p) END""",
    "sr_replace(s, a, b)": "CASE WHEN a = '' THEN s ELSE replace(s, a, b) END",
    "sr_instr(s, t)": "strpos(s, t)::INTEGER",
    "sr_locate(t, s, p)": """CASE WHEN p <= 0 THEN 0 WHEN strpos(substr(s, p), t) = 0 THEN 0
        ELSE strpos(substr(s, p), t) + p - 1 END::INTEGER""",
    "sr_split_part(s, d, n)": """CASE WHEN n = 0 OR d = '' THEN NULL
        WHEN n > 0 THEN string_split(s, d)[n] ELSE string_split(s, d)[len(string_split(s, d)) + n + 1] END""",
    "sr_substring_index(s, d, n)": """CASE WHEN n = 0 OR d = '' THEN error('sr:substring_index of nothing')
        WHEN n > 0 THEN array_to_string(string_split(s, d)[1:n], d)
        ELSE array_to_string(string_split(s, d)[greatest(len(string_split(s, d)) + n + 1, 1):], d) END""",
    "sr_find_in_set(s, l)": """CASE WHEN s IS NULL OR l IS NULL THEN NULL WHEN contains(s, ',') THEN 0
        ELSE coalesce(list_position(string_split(l, ','), s), 0) END::INTEGER""",
    "sr_ascii(s)": "CASE WHEN s = '' THEN 0 WHEN ascii(s) > 127 THEN error('sr:ascii of a non-ASCII text') ELSE ascii(s) END",
    "sr_char(n)": "CASE WHEN n BETWEEN 0 AND 127 THEN chr(n::INTEGER) ELSE error('sr:char of more than 127') END",
    "sr_hex(x)": """CASE WHEN typeof(x) IN ('TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'INTEGER_LITERAL', 'BOOLEAN')
        THEN hex(TRY_CAST(x::VARCHAR AS BIGINT)) WHEN typeof(x) IN ('HUGEINT', 'DOUBLE', 'FLOAT')
        THEN error('sr:hex of a number that is no BIGINT') ELSE hex(sr_bytes(x)) END""",
    "sr_unhex(s)": """CASE WHEN s IS NULL THEN NULL WHEN s <> '' AND regexp_full_match(s, '([0-9A-Fa-f]{2})+')
        THEN decode(unhex(s)) ELSE '' END""",
    "sr_md5(x)": "md5(sr_bytes(x))",
    "sr_sha2(x, n)": "CASE WHEN n IN (0, 256) THEN sha256(sr_bytes(x)) ELSE error('sr:sha2 of other lengths than 256') END",
    "sr_to_base64(x)": "CASE WHEN sr_length(x) = 0 THEN NULL ELSE to_base64(sr_bytes(x)) END",
    "sr_from_base64(s)": "CASE WHEN s = '' THEN NULL ELSE decode(from_base64(s)) END",
    "sr_append_char(s, c)": "CASE WHEN length(c) <> 1 THEN NULL WHEN s = '' OR ends_with(s, c) THEN s ELSE s || c END",
    "sr_strcmp(a, b)": "CASE WHEN a = b THEN 0 WHEN a < b THEN -1 WHEN a > b THEN 1 END",
    "sr_null_or_empty(s)": "s IS NULL OR s = ''",
    "sr_like(s, p)": "s LIKE p ESCAPE '\\'",
    # JSON
    "sr_j(x)": "CASE WHEN typeof(x) = 'JSON' THEN TRY_CAST(x AS JSON) ELSE TRY_CAST(x::VARCHAR AS JSON) END",
    "sr_get_json_string(j, p)": """CASE json_type(sr_j(j), p) WHEN 'OBJECT' THEN error('sr:get_json_string of an object')
        WHEN 'ARRAY' THEN error('sr:get_json_string of an array')
        WHEN 'DOUBLE' THEN sr_text(TRY_CAST(json_extract_string(sr_j(j), p) AS DOUBLE))
        ELSE json_extract_string(sr_j(j), p) END""",
    "sr_get_json_int(j, p)": """CASE json_type(sr_j(j), p)
        WHEN 'DOUBLE' THEN TRY_CAST(trunc(TRY_CAST(json_extract_string(sr_j(j), p) AS DOUBLE)) AS BIGINT)
        WHEN 'BIGINT' THEN TRY_CAST(json_extract_string(sr_j(j), p) AS BIGINT)
        WHEN 'UBIGINT' THEN TRY_CAST(json_extract_string(sr_j(j), p) AS BIGINT)
        WHEN 'BOOLEAN' THEN CASE json_extract_string(sr_j(j), p) WHEN 'true' THEN 1 ELSE 0 END
        WHEN 'VARCHAR' THEN TRY_CAST(sr_int_text(json_extract_string(sr_j(j), p)) AS BIGINT) END""",
    "sr_get_json_double(j, p)": """CASE WHEN json_type(sr_j(j), p) IN ('DOUBLE', 'BIGINT', 'UBIGINT')
        THEN TRY_CAST(json_extract_string(sr_j(j), p) AS DOUBLE)
        WHEN json_type(sr_j(j), p) IN ('VARCHAR', 'BOOLEAN') THEN error('sr:get_json_double of what is no number') END""",
    "sr_get_json_bool(j, p)": """CASE json_type(sr_j(j), p) WHEN 'BOOLEAN' THEN json_extract_string(sr_j(j), p) = 'true'
        WHEN 'BIGINT' THEN json_extract_string(sr_j(j), p) <> '0'
        WHEN 'UBIGINT' THEN json_extract_string(sr_j(j), p) <> '0'
        WHEN 'VARCHAR' THEN error('sr:get_json_bool of a text') WHEN 'DOUBLE' THEN error('sr:get_json_bool of a fraction')
        END""",
    "sr_json_length(j, p)": """CASE json_type(sr_j(j), p) WHEN 'OBJECT' THEN len(json_keys(sr_j(j), p))
        WHEN 'ARRAY' THEN json_array_length(sr_j(j), p) WHEN 'NULL' THEN 1
        ELSE CASE WHEN json_exists(sr_j(j), p) THEN 1 ELSE 0 END END::INTEGER""",
    # Arrays
    "sr_array_contains(a, x)": "CASE WHEN x IS NULL THEN error('sr:array_contains of NULL') ELSE list_contains(a, x) END",
    "sr_array_position(a, x)": "CASE WHEN a IS NULL THEN NULL ELSE coalesce(list_position(a, x), 0)::INTEGER END",
    "sr_array_join(a, s)": "array_to_string(a, s)",
    "sr_array_sort(a)": "list_sort(a, 'ASC', 'NULLS FIRST')",
    "sr_array_slice(a, o, n)": """CASE WHEN o < 1 THEN error('sr:array_slice from the end') WHEN n <= 0 THEN a[1:0]
        ELSE a[o:o + n - 1] END""",
    "sr_element(a, i)": "CASE WHEN i < 1 THEN error('sr:an array element before the first') ELSE a[i] END",
    # Dates
    "sr_dayofweek(x)": "(dayofweek(sr_ts(x)) + 1)::INTEGER",
    "sr_year(x)": "year(sr_ts(x))::SMALLINT",
    "sr_month(x)": "month(sr_ts(x))::TINYINT",
    "sr_day(x)": "day(sr_ts(x))::TINYINT",
    "sr_hour(x)": "hour(sr_ts(x))::TINYINT",
    "sr_minute(x)": "minute(sr_ts(x))::TINYINT",
    "sr_second(x)": "second(sr_ts(x))::TINYINT",
    "sr_quarter(x)": "quarter(sr_ts(x))::TINYINT",
    "sr_dayofyear(x)": "dayofyear(sr_ts(x))::SMALLINT",
    "sr_weekofyear(x)": "weekofyear(sr_ts(x))::INTEGER",
    "sr_dayname(x)": "dayname(sr_ts(x))",
    "sr_monthname(x)": "monthname(sr_ts(x))",
    "sr_last_day(x)": "last_day(sr_ts(x))",
    "sr_datediff(a, b)": "date_diff('day', sr_date(b), sr_date(a))::INTEGER",
    "sr_to_days(x)": "(date_diff('day', DATE '1970-01-01', sr_date(x)) + 719528)::INTEGER",
    "sr_from_days(n)": """CASE WHEN n BETWEEN 366 AND 3652424 THEN DATE '1970-01-01' + (n - 719528)::INTEGER
        ELSE error('sr:from_days beyond the calendar') END""",
    "sr_from_unixtime(n, f)": """CASE WHEN n < 0 OR n > 253402243199 THEN NULL
        ELSE strftime(make_timestamp(n::BIGINT * 1000000), f) END""",
    "sr_unix_timestamp(x)": "CASE WHEN sr_ts(x) < TIMESTAMP '1970-01-01' THEN 0 ELSE floor(epoch(sr_ts(x)))::BIGINT END",
}

MACROS = tuple(f"CREATE OR REPLACE MACRO {name} AS {body}" for name, body in _BODIES.items())
