"""What Eve makes of the `where` parameter before the database sees it."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeAlias

from .bson_values import Fields, ObjectId, reader
from .dates import read_date
from .errors import Broken, Refused, not_implemented, refuse_constant
from .operators import compile_condition

_NAMES = """
$gt $gte $in $lt $lte $ne $nin $eq $or $and $not $nor $mod $regex $text $where $options $search $language
$caseSensitive $diacriticSensitive $exists $type $geoWithin $geoIntersects $near $nearSphere $centerSphere
$geometry $maxDistance $minDistance $box $all $elemMatch $size $bitsAllClear $bitsAllSet $bitsAnyClear
$bitsAnySet $center $expr
"""
_KNOWN = frozenset(_NAMES.split())
_BANNED = frozenset({"$where", "$regex"})
_HEX = frozenset("0123456789abcdefABCDEF")


def read_where(text: str) -> Any:
    """The filter in a parameter, with dates and ids cast; Refused where Eve answers with 400."""
    try:
        where = json.loads(text, parse_float=_read_float, parse_constant=refuse_constant)
    except ValueError as error:
        # Eve 2.3 reads what is not JSON as a Python comparison, `amount > 60`, before it answers 400.
        raise not_implemented("filters that are not JSON, such as Eve's Python comparisons") from error
    _check_operators(where)
    return cast(where)


def _read_float(text: str) -> Decimal:
    """The database compares doubles: a large one is a whole number with more digits than its text has."""
    value = float(text)
    return Decimal(value) if value.is_integer() else Decimal(text)


def _check_operators(where: Any) -> None:
    if isinstance(where, dict):
        operators = {name for name in where if name.startswith("$")}
        if operators - _KNOWN or operators & _BANNED or "" in where:
            raise Refused(400)
        where = list(where.values())
    if isinstance(where, list):
        for each in where:
            _check_operators(each)


def cast(where: Any) -> Any:
    """The filter with every text that looks like a date or an id turned into one, whatever its field."""
    if isinstance(where, dict):
        return {name: _cast_value(value) for name, value in where.items()}
    return where


def _cast_value(value: Any) -> Any:
    if isinstance(value, dict):
        return cast(value)
    if isinstance(value, list):
        return [cast(each) if isinstance(each, dict) else _cast_element(each) for each in value]
    return cast_text(value) if isinstance(value, str) else value


def _cast_element(element: Any) -> Any:
    if element is None:
        return ObjectId()  # Eve makes a new id of a null inside a list, and a new id equals nothing
    return cast_text(element) if isinstance(element, str) else element


def cast_text(text: str) -> Any:
    """The date or the id that a text stands for, else the text."""
    if len(text) == 24 and _HEX.issuperset(text):
        return ObjectId(text.lower())
    return read_date(text) or text


Matches: TypeAlias = Callable[[Fields], bool]


def compile_where(where: dict[str, Any]) -> Matches:
    """What tells whether a row is selected; Broken where MongoDB would refuse the filter."""
    clauses = [_compile_clause(name, condition) for name, condition in where.items()]
    return clauses[0] if len(clauses) == 1 else lambda fields: all(clause(fields) for clause in clauses)


def _compile_clause(name: str, condition: Any) -> Matches:
    if name in ("$and", "$or", "$nor"):
        return _compile_branches(name, condition)
    if name.startswith("$"):
        raise Broken(f"unknown top level operator: {name}")
    read, test = reader(name), compile_condition(condition, compile_where)
    return lambda fields: test(read(fields))


def _compile_branches(name: str, condition: Any) -> Matches:
    if not isinstance(condition, list) or not condition or not all(isinstance(each, dict) for each in condition):
        raise Broken(f"{name} must be a nonempty array of objects")
    branches = [compile_where(branch) for branch in condition]
    if name == "$and":
        return lambda fields: all(branch(fields) for branch in branches)
    if name == "$or":
        return lambda fields: any(branch(fields) for branch in branches)
    return lambda fields: not any(branch(fields) for branch in branches)
