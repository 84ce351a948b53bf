"""StarRocks' functions by name: what each is in DuckDB, or nothing, and then it is refused by that name.

`translate` takes the name and the arguments, translated already, except that names and literals stay as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlglot import exp

from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.mysql.dates import adder_of, strftime_pattern, unit_of

Arguments = Sequence[exp.Expression]
Make = Callable[[Arguments], exp.Expression]


@dataclass(frozen=True, slots=True)
class Function:
    """`fewest` and `most` arguments; `text` tells that numbers among them are taken as texts."""

    make: Make
    fewest: int
    most: int


def call(name: str, *arguments: exp.Expression) -> exp.Expression:
    return exp.Anonymous(this=name, expressions=list(arguments))


def text(node: exp.Expression) -> exp.Expression:
    if isinstance(node, exp.Literal) and node.is_string:
        return node
    return call("sr_text", node)


def _plain(name: str, fewest: int, most: int | None = None) -> Function:
    return Function(lambda args: call(name, *args), fewest, fewest if most is None else most)


def _texts(name: str, count: int, numbers: Sequence[int] = ()) -> Function:
    """A function of texts; the arguments at `numbers` stay numbers."""
    return Function(
        lambda args: call(name, *(a if i in numbers else text(a) for i, a in enumerate(args))), count, count
    )


def literal_text(node: exp.Expression, what: str) -> str:
    """A string literal's value; anything else is refused."""
    if not (isinstance(node, exp.Literal) and node.is_string):
        raise SqlError.not_emulated(f"{what} that is no literal")
    return node.name


def json_path(node: exp.Expression) -> exp.Expression:
    """A path for DuckDB: `$` at its start, no wildcards."""
    path = literal_text(node, "a JSON path")
    if "*" in path or "[:" in path:
        raise SqlError.not_emulated("JSON paths with wildcards")
    path = path if path.startswith("$") else f"$.{path}"
    return exp.Literal.string(path)


def _with_path(name: str) -> Function:
    return Function(lambda args: call(name, args[0], json_path(args[1])), 2, 2)


def _json_length(args: Arguments) -> exp.Expression:
    return call("sr_json_length", args[0], json_path(args[1]) if len(args) > 1 else exp.Literal.string("$"))


def _concat(args: Arguments) -> exp.Expression:
    out = text(args[0])
    for argument in args[1:]:
        out = exp.DPipe(this=out, expression=text(argument), safe=False)
    return exp.Paren(this=out)


def _null_if_any(name: str) -> Make:
    def make(args: Arguments) -> exp.Expression:
        any_null = exp.or_(*(exp.Is(this=a.copy(), expression=exp.null()) for a in args))
        return exp.case().when(any_null, exp.null()).else_(call(name, *args))

    return make


def _log(args: Arguments) -> exp.Expression:
    return call("sr_ln", *args) if len(args) == 1 else call("sr_log", *args)


def _round(args: Arguments) -> exp.Expression:
    return call("sr_round", *args) if len(args) == 1 else call("round", *args)


def _substr(args: Arguments) -> exp.Expression:
    return call("sr_substr2" if len(args) == 2 else "sr_substr", text(args[0]), *args[1:])


def _pad(name: str) -> Function:
    return Function(lambda args: call(name, text(args[0]), args[1], text(args[2])), 3, 3)


def _regexp_extract(args: Arguments) -> exp.Expression:
    if not args[2].is_int:
        raise SqlError.not_emulated("regexp_extract with a group that is no literal")
    return call("regexp_extract", text(args[0]), exp.Literal.string(literal_text(args[1], "a pattern")), args[2])


def _shift(unit: str, sign: int) -> Function:
    """`…_add(x, n)`; date_add also takes INTERVAL n unit."""

    def make(args: Arguments) -> exp.Expression:
        return shifted(args[0], args[1], unit, sign)

    return Function(make, 2, 2)


def shifted(moment: exp.Expression, amount: exp.Expression, unit: str, sign: int) -> exp.Expression:
    """A moment some units later, or earlier with a sign of -1."""
    if isinstance(amount, exp.Interval):
        unit, amount = amount.text("unit") or unit, amount.this
    if isinstance(amount, exp.Literal) and amount.is_string:
        if not amount.name.lstrip("-").isdigit():
            raise SqlError.not_emulated("an INTERVAL that is no whole number")
        amount = exp.Literal.number(amount.name) if not amount.name.startswith("-") else exp.Neg(
            this=exp.Literal.number(amount.name[1:]))  # fmt: skip
    interval = call(adder_of(unit_of(unit)), exp.cast(amount, exp.DType.INT))
    operation = exp.Add if sign > 0 else exp.Sub
    return exp.Paren(this=operation(this=call("sr_ts", moment), expression=interval))


def _difference(unit: str) -> Function:
    quoted = exp.Literal.string(unit)
    return Function(lambda args: call("datesub", quoted.copy(), call("sr_ts", args[1]), call("sr_ts", args[0])), 2, 2)


def _unit_name(node: exp.Expression) -> str:
    return unit_of(node.name)


def _timestampdiff(args: Arguments) -> exp.Expression:
    unit = exp.Literal.string(_unit_name(args[0]))
    return call("datesub", unit, call("sr_ts", args[1]), call("sr_ts", args[2]))


def _date_diff(args: Arguments) -> exp.Expression:
    unit = exp.Literal.string(unit_of(literal_text(args[0], "a unit")))
    return call("datesub", unit, call("sr_ts", args[2]), call("sr_ts", args[1]))


def _timestampadd(args: Arguments) -> exp.Expression:
    return shifted(args[2], args[1], _unit_name(args[0]), 1)


def _date_trunc(args: Arguments) -> exp.Expression:
    unit = unit_of(literal_text(args[0], "a unit"))
    return call("date_trunc", exp.Literal.string(unit), call("sr_ts", args[1]))


def _date_format(args: Arguments) -> exp.Expression:
    pattern = strftime_pattern(literal_text(args[1], "a date pattern"))
    return call("strftime", call("sr_ts", args[0]), exp.Literal.string(pattern))


def _str_to_date(args: Arguments) -> exp.Expression:
    pattern = strftime_pattern(literal_text(args[1], "a date pattern"), parsing=True)
    return call("try_strptime", text(args[0]), exp.Literal.string(pattern))


def _from_unixtime(args: Arguments) -> exp.Expression:
    pattern = strftime_pattern(literal_text(args[1], "a date pattern")) if len(args) > 1 else "%Y-%m-%d %H:%M:%S"
    return call("sr_from_unixtime", args[0], exp.Literal.string(pattern))


def _to_binary(args: Arguments) -> exp.Expression:
    form = literal_text(args[1], "a binary format").lower() if len(args) > 1 else "hex"
    makers = {"hex": "unhex", "encode64": "from_base64", "base64": "from_base64", "utf8": "encode"}
    if form not in makers:
        raise SqlError.not_emulated(f"to_binary with {form}")
    return call(makers[form], text(args[0]))


def _from_binary(args: Arguments) -> exp.Expression:
    form = literal_text(args[1], "a binary format").lower() if len(args) > 1 else "hex"
    makers = {"hex": "hex", "encode64": "to_base64", "base64": "to_base64", "utf8": "decode"}
    if form not in makers:
        raise SqlError.not_emulated(f"from_binary with {form}")
    return call(makers[form], args[0])


def _isnull(args: Arguments) -> exp.Expression:
    return exp.Paren(this=exp.Is(this=args[0], expression=exp.null()))


def _isnotnull(args: Arguments) -> exp.Expression:
    return exp.Not(this=_isnull(args))


def _locate(args: Arguments) -> exp.Expression:
    start = args[2] if len(args) > 2 else exp.Literal.number(1)
    return call("sr_locate", text(args[0]), text(args[1]), start)


def _if(args: Arguments) -> exp.Expression:
    return exp.case().when(args[0], args[1]).else_(args[2])


_MANY = 256
_COALESCE = _plain("coalesce", 1, _MANY)
FUNCTIONS: dict[str, Function] = {
    # aggregates and windows
    "count": _plain("count", 1), "sum": _plain("sum", 1), "min": _plain("min", 1), "max": _plain("max", 1),
    "avg": Function(lambda a: call("avg", call("sr_undecimal", a[0])), 1, 1), "any_value": _plain("any_value", 1),
    "array_agg": _plain("array_agg", 1), "stddev": _plain("stddev_pop", 1), "std": _plain("stddev_pop", 1),
    "stddev_pop": _plain("stddev_pop", 1), "stddev_samp": _plain("stddev_samp", 1), "variance": _plain("var_pop", 1),
    "var_pop": _plain("var_pop", 1), "variance_pop": _plain("var_pop", 1), "var_samp": _plain("var_samp", 1),
    "variance_samp": _plain("var_samp", 1),
    "multi_distinct_count": Function(lambda a: call("count", exp.Distinct(expressions=list(a))), 1, 1),
    "row_number": _plain("row_number", 0), "rank": _plain("rank", 0), "dense_rank": _plain("dense_rank", 0),
    "ntile": _plain("ntile", 1), "lag": _plain("lag", 1, 3), "lead": _plain("lead", 1, 3),
    "first_value": _plain("first_value", 1), "last_value": _plain("last_value", 1),
    "percent_rank": _plain("percent_rank", 0), "cume_dist": _plain("cume_dist", 0),
    # conditions
    "if": Function(_if, 3, 3), "ifnull": _plain("coalesce", 2), "nvl": _plain("coalesce", 2), "coalesce": _COALESCE,
    "nullif": _plain("nullif", 2), "isnull": Function(_isnull, 1, 1), "isnotnull": Function(_isnotnull, 1, 1),
    "null_or_empty": _texts("sr_null_or_empty", 1),
    # numbers
    "abs": _plain("abs", 1), "ceil": _plain("sr_ceil", 1), "ceiling": _plain("sr_ceil", 1),
    "floor": _plain("sr_floor", 1), "round": Function(_round, 1, 2), "truncate": _plain("sr_truncate", 2),
    "mod": _plain("sr_mod", 2), "pow": _plain("pow", 2), "power": _plain("pow", 2), "sqrt": _plain("sr_sqrt", 1),
    "exp": _plain("exp", 1), "ln": _plain("sr_ln", 1), "log": Function(_log, 1, 2), "log2": _plain("sr_log2", 1),
    "log10": _plain("sr_log10", 1), "sign": _plain("sr_sign", 1), "pi": _plain("pi", 0),
    "degrees": _plain("degrees", 1), "radians": _plain("radians", 1), "sin": _plain("sin", 1), "cos": _plain("cos", 1),
    "tan": _plain("tan", 1), "asin": _plain("sr_asin", 1), "acos": _plain("sr_acos", 1), "atan": _plain("atan", 1),
    "greatest": Function(_null_if_any("greatest"), 1, _MANY), "least": Function(_null_if_any("least"), 1, _MANY),
    # texts
    "length": _plain("sr_length", 1), "char_length": _plain("sr_char_length", 1),
    "character_length": _plain("sr_char_length", 1), "lower": _plain("sr_lower", 1), "lcase": _plain("sr_lower", 1),
    "upper": _plain("sr_upper", 1), "ucase": _plain("sr_upper", 1), "concat": Function(_concat, 1, _MANY),
    "concat_ws": Function(lambda a: call("concat_ws", *map(text, a)), 2, _MANY),
    "substr": Function(_substr, 2, 3), "substring": Function(_substr, 2, 3), "mid": Function(_substr, 3, 3),
    "left": _texts("sr_left", 2, [1]), "strleft": _texts("sr_left", 2, [1]), "right": _texts("sr_right", 2, [1]),
    "strright": _texts("sr_right", 2, [1]), "trim": Function(lambda a: call("trim", *map(text, a)), 1, 2),
    "ltrim": Function(lambda a: call("ltrim", *map(text, a)), 1, 2),
    "rtrim": Function(lambda a: call("rtrim", *map(text, a)), 1, 2), "replace": _texts("sr_replace", 3),
    "reverse": _texts("reverse", 1), "repeat": _texts("sr_repeat", 2, [1]),
    "space": Function(lambda a: call("sr_repeat", exp.Literal.string(" "), a[0]), 1, 1),
    "lpad": _pad("sr_lpad"), "rpad": _pad("sr_rpad"), "instr": _texts("sr_instr", 2), "strpos": _texts("sr_instr", 2),
    "locate": Function(_locate, 2, 3), "position": Function(_locate, 2, 3),
    "starts_with": _texts("starts_with", 2), "ends_with": _texts("ends_with", 2), "split": _texts("string_split", 2),
    "split_part": _texts("sr_split_part", 3, [2]), "substring_index": _texts("sr_substring_index", 3, [2]),
    "find_in_set": _texts("sr_find_in_set", 2), "ascii": _texts("sr_ascii", 1), "char": _plain("sr_char", 1),
    "hex": _plain("sr_hex", 1), "unhex": _texts("sr_unhex", 1), "md5": _plain("sr_md5", 1),
    "sha2": _plain("sr_sha2", 2), "md5sum": Function(lambda a: call("sr_md5", _concat(a)), 1, _MANY),
    "to_base64": _plain("sr_to_base64", 1), "from_base64": _texts("sr_from_base64", 1),
    "append_trailing_char_if_absent": _texts("sr_append_char", 2), "strcmp": _texts("sr_strcmp", 2),
    "regexp_extract": Function(_regexp_extract, 3, 3),
    "regexp_replace": Function(
        lambda a: call("regexp_replace", *map(text, a), exp.Literal.string("g")), 3, 3),
    "to_binary": Function(_to_binary, 1, 2), "from_binary": Function(_from_binary, 1, 2),
    # JSON
    "parse_json": Function(lambda a: call("sr_j", text(a[0])), 1, 1), "json_query": _with_path("json_extract"),
    "get_json_string": _with_path("sr_get_json_string"), "get_json_int": _with_path("sr_get_json_int"),
    "get_json_double": _with_path("sr_get_json_double"), "get_json_bool": _with_path("sr_get_json_bool"),
    "json_exists": _with_path("json_exists"), "json_length": Function(_json_length, 1, 2),
    "json_object": _plain("json_object", 0, _MANY), "json_array": _plain("json_array", 0, _MANY),
    # arrays
    "array_length": _plain("len", 1), "cardinality": _plain("len", 1), "array_contains": _plain("sr_array_contains", 2),
    "array_position": _plain("sr_array_position", 2), "array_join": _plain("sr_array_join", 2),
    "array_append": _plain("list_append", 2), "array_sort": _plain("sr_array_sort", 1),
    "array_sum": _plain("list_sum", 1), "array_max": _plain("list_max", 1), "array_min": _plain("list_min", 1),
    "array_avg": _plain("list_avg", 1), "array_slice": _plain("sr_array_slice", 3),
    "array_concat": _plain("list_concat", 2),
    # dates
    "date": _plain("sr_date", 1), "to_date": _plain("sr_date", 1), "year": _plain("sr_year", 1),
    "month": _plain("sr_month", 1), "day": _plain("sr_day", 1), "dayofmonth": _plain("sr_day", 1),
    "hour": _plain("sr_hour", 1), "minute": _plain("sr_minute", 1), "second": _plain("sr_second", 1),
    "quarter": _plain("sr_quarter", 1), "dayofweek": _plain("sr_dayofweek", 1),
    "dayofyear": _plain("sr_dayofyear", 1), "weekofyear": _plain("sr_weekofyear", 1),
    "week_iso": _plain("sr_weekofyear", 1), "dayname": _plain("sr_dayname", 1), "monthname": _plain("sr_monthname", 1),
    "last_day": _plain("sr_last_day", 1), "datediff": _plain("sr_datediff", 2), "to_days": _plain("sr_to_days", 1),
    "from_days": _plain("sr_from_days", 1), "date_format": Function(_date_format, 2, 2),
    "str_to_date": Function(_str_to_date, 2, 2), "str2date": Function(
        lambda a: exp.cast(_str_to_date(a), exp.DType.DATE), 2, 2),
    "date_trunc": Function(_date_trunc, 2, 2), "timestampdiff": Function(_timestampdiff, 3, 3),
    "timestampadd": Function(_timestampadd, 3, 3), "date_diff": Function(_date_diff, 3, 3),
    "from_unixtime": Function(_from_unixtime, 1, 2), "unix_timestamp": _plain("sr_unix_timestamp", 1),
    "date_add": _shift("DAY", 1), "adddate": _shift("DAY", 1), "date_sub": _shift("DAY", -1),
    "subdate": _shift("DAY", -1), "add_months": _shift("MONTH", 1),
}  # fmt: skip
for _unit in ("years", "months", "weeks", "days", "hours", "minutes", "seconds"):
    FUNCTIONS[f"{_unit}_add"] = _shift(_unit[:-1].upper(), 1)
    FUNCTIONS[f"{_unit}_sub"] = _shift(_unit[:-1].upper(), -1)
    FUNCTIONS[f"{_unit}_diff"] = _difference(_unit[:-1])
UTC_ONLY = frozenset({"from_unixtime", "unix_timestamp"})


def translate(name: str, arguments: Arguments) -> exp.Expression:
    """Raises SqlError for a function that is not emulated, or one with the wrong number of arguments."""
    function = FUNCTIONS.get(name)
    if function is None:
        raise SqlError.not_emulated(f"function {name}")
    if not function.fewest <= len(arguments) <= function.most:
        raise SqlError.analysis(f"No matching function with {len(arguments)} arguments: {name}")
    return function.make(arguments)
