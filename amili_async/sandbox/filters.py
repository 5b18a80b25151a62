"""The parameter `where`: read as Eve 2.3 reads it, then compiled to a test of a row by MongoDB's rules."""

import json
from decimal import Decimal
from typing import Any

from .answers import HttpError, ServerCrash, not_implemented, reject_constant
from .bson_values import ObjectId, cast_text, path_reader, read_float
from .operators import RowTest, all_of, compile_condition

_OPERATOR_NAMES = """
$gt $gte $in $lt $lte $ne $nin $eq $or $and $not $nor $mod $regex $text $where $options $search $language
$caseSensitive $diacriticSensitive $exists $type $geoWithin $geoIntersects $near $nearSphere $centerSphere
$geometry $maxDistance $minDistance $box $all $elemMatch $size $bitsAllClear $bitsAllSet $bitsAnyClear
$bitsAnySet $center $expr
"""
_KNOWN_OPERATORS = frozenset(_OPERATOR_NAMES.split())
_BRANCHES = {"$and": (all, True), "$or": (any, True), "$nor": (any, False)}
_BANNED_OPERATORS = frozenset({"$where", "$regex"})  # MONGO_QUERY_BLACKLIST, the default of Eve 2.3


def parse_where(text: str) -> Any:
    """The filter in a parameter, with dates and ids cast; HttpError where Eve answers with 400."""
    try:
        where = json.loads(text, parse_float=_read_double, parse_constant=reject_constant)
    except ValueError as error:
        # Eve 2.3 reads what is not JSON as a Python comparison, `amount > 60`, before it answers with 400.
        raise not_implemented("filters that are not JSON, such as Eve's Python comparisons") from error
    _check_operators(where)
    return _cast(where)


def _read_double(text: str) -> Decimal | float:
    # MongoDB compares doubles: a large one is a whole number with more digits than the text has.
    value = float(text)
    return Decimal(value) if value.is_integer() else read_float(text)


def _check_operators(where: Any) -> None:
    if isinstance(where, dict):
        operators = {name for name in where if name.startswith("$")}
        # An empty name is a 400 in Eve 2.3, which reads the first character of every name.
        if operators - _KNOWN_OPERATORS or operators & _BANNED_OPERATORS or "" in where:
            raise HttpError(400)
        where = list(where.values())
    if isinstance(where, list):
        for each in where:
            _check_operators(each)


def _cast(value: Any, *, in_list: bool = False) -> Any:
    if isinstance(value, dict):
        return {name: _cast(each) for name, each in value.items()}
    if isinstance(value, list) and not in_list:
        return [_cast(each, in_list=True) for each in value]
    if value is None and in_list:
        return ObjectId()  # Eve 2.3 turns a null inside a list into ObjectId(None), a new id, which equals nothing
    return cast_text(value) if isinstance(value, str) else value


def compile_where(where: dict[str, Any]) -> RowTest:
    """The test whether a row is selected; ServerCrash where MongoDB rejects the filter."""
    return all_of([_compile_clause(name, condition) for name, condition in where.items()])


def _compile_clause(name: str, condition: Any) -> RowTest:
    if name in _BRANCHES:
        return _compile_branches(name, condition)
    if name.startswith("$"):
        raise ServerCrash(f"unknown top level operator: {name}")
    read, test = path_reader(name), compile_condition(condition, compile_where)
    return lambda fields: test(read(fields))


def _compile_branches(name: str, condition: Any) -> RowTest:
    if not isinstance(condition, list) or not condition or not all(isinstance(each, dict) for each in condition):
        raise ServerCrash(f"{name} must be a nonempty array of objects")
    branches = [compile_where(branch) for branch in condition]
    combine, wanted = _BRANCHES[name]
    return lambda fields: combine(branch(fields) for branch in branches) is wanted
