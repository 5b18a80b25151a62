"""The operators of one field in a filter, as tests of the values found there."""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from .bson_values import ARRAY_KIND, NULL, NUMBER_KIND, OBJECT_KIND, BsonValue, RowFields, has_type, to_bson
from .errors import ServerCrash

FieldTest: TypeAlias = Callable[[list[BsonValue | None]], bool]
RowTest: TypeAlias = Callable[[RowFields], bool]
CompileWhere: TypeAlias = Callable[[Any], RowTest]
"""`filters.compile_where`, passed in because `$elemMatch` holds a whole filter."""


def compile_condition(condition: Any, compile_where: CompileWhere) -> FieldTest:
    """The test of one field, written as a plain value or as an object of operators."""
    if not is_operators(condition):
        return equals(condition)
    tests = [_compile_operator(name, operand, compile_where) for name, operand in condition.items()]
    return tests[0] if len(tests) == 1 else lambda found: all(test(found) for test in tests)


def _compile_operator(name: str, operand: Any, compile_where: CompileWhere) -> FieldTest:
    """The test of one operator; ServerCrash where MongoDB rejects it."""
    if name == "$not":
        return _negated(compile_condition(_an_object(operand), compile_where))
    if name == "$elemMatch":
        return _has_element(operand, compile_where)
    if name == "$all":
        return _has_all(_a_list(operand), compile_where)
    if name not in _SIMPLE:
        raise ServerCrash(f"unknown operator: {name}")
    return _SIMPLE[name](operand)


def is_operators(condition: Any) -> bool:
    """Whether an object is one of operators; as in MongoDB its first name decides."""
    return isinstance(condition, dict) and next(iter(condition), "").startswith("$")


def equals(value: Any) -> FieldTest:
    """Equality with a value or with an element of an array; null also matches a missing field."""
    wanted = to_bson(value)
    if wanted == NULL:
        return lambda found: any(each is None or each == NULL or _contains(each, NULL) for each in found)
    return lambda found: any(each is not None and (each == wanted or _contains(each, wanted)) for each in found)


def _contains(value: BsonValue, wanted: BsonValue) -> bool:
    return value[0] == ARRAY_KIND and wanted in value[1]


def _negated(test: FieldTest) -> FieldTest:
    return lambda found: not test(found)


def _compares(comparison: Callable[[Any, Any], bool]) -> Callable[[Any], FieldTest]:
    def compile_comparison(limit: Any) -> FieldTest:
        kind, content = bound = to_bson(limit)
        if bound == NULL:  # $gte and $lte null match null and missing fields, $gt and $lt null match nothing
            return equals(None) if comparison(0, 0) else lambda _found: False
        return lambda found: any(
            (value[0] == kind and comparison(value[1], content))
            or (value[0] == ARRAY_KIND and any(each[0] == kind and comparison(each[1], content) for each in value[1]))
            for value in found
            if value is not None
        )

    return compile_comparison


def _is_in(values: Any) -> FieldTest:
    if any(is_operators(value) for value in _a_list(values)):
        raise ServerCrash("cannot nest $ under $in")
    wanted = {to_bson(value) for value in values}
    matches_missing = NULL in wanted
    return lambda found: any(
        matches_missing
        if value is None
        else value in wanted or (value[0] == ARRAY_KIND and not wanted.isdisjoint(value[1]))
        for value in found
    )


def _exists(wanted: Any) -> FieldTest:
    if wanted not in (None, 0):
        return lambda found: any(value is not None for value in found)
    return lambda found: all(value is None for value in found)


def _has_size(size: Any) -> FieldTest:
    wanted = _whole_number(size)
    if wanted < 0:
        raise ServerCrash("$size may not be negative")
    return lambda found: any(
        value is not None and value[0] == ARRAY_KIND and len(value[1]) == wanted for value in found
    )


def _has_remainder(operand: Any) -> FieldTest:
    if len(_a_list(operand)) != 2 or not _whole_number(operand[0]):
        raise ServerCrash("$mod takes a divisor other than zero and a remainder")
    divisor, remainder = (_whole_number(number) for number in operand)

    def leaves_remainder(value: BsonValue) -> bool:
        return value[0] == NUMBER_KIND and _remainder(int(value[1]), divisor) == remainder

    return lambda found: any(
        leaves_remainder(value) or (value[0] == ARRAY_KIND and any(map(leaves_remainder, value[1])))
        for value in found
        if value is not None
    )


def _remainder(number: int, divisor: int) -> int:
    rest = abs(number) % abs(divisor)  # MongoDB divides as C does: the sign is that of the number
    return -rest if number < 0 else rest


def _has_all(values: list[Any], compile_where: CompileWhere) -> FieldTest:
    def compile_value(value: Any) -> FieldTest:
        if not is_operators(value):
            return equals(value)
        if next(iter(value)) != "$elemMatch":
            raise ServerCrash("no $ expressions in $all")
        return _has_element(value["$elemMatch"], compile_where)

    tests = [compile_value(value) for value in values]
    return lambda found: bool(tests) and all(test(found) for test in tests)


def _has_element(operand: Any, compile_where: CompileWhere) -> FieldTest:
    if is_operators(_an_object(operand)) and next(iter(operand)) not in ("$and", "$or", "$nor"):
        test = compile_condition(operand, compile_where)
        return lambda found: any(test([element]) for element in _elements(found))
    matches = compile_where(operand)
    return lambda found: any(
        matches({name: value for _, name, value in element[1]})
        for element in _elements(found)
        if element[0] == OBJECT_KIND
    )


def _elements(found: list[BsonValue | None]) -> list[BsonValue]:
    return [element for value in found if value is not None and value[0] == ARRAY_KIND for element in value[1]]


def _a_list(operand: Any) -> list[Any]:
    if not isinstance(operand, list):
        raise ServerCrash("the operand must be an array")
    return operand


def _an_object(operand: Any) -> dict[str, Any]:
    if not isinstance(operand, dict):
        raise ServerCrash("the operand must be an object")
    return operand


def _whole_number(operand: Any) -> int:
    kind, number = to_bson(operand)
    if kind != NUMBER_KIND or not math.isfinite(number) or number != int(number):
        raise ServerCrash("the operand must be a whole number")
    return int(to_bson(int(number))[1])


_SIMPLE: Mapping[str, Callable[[Any], FieldTest]] = {
    "$eq": equals,
    "$ne": lambda value: _negated(equals(value)),
    "$gt": _compares(lambda value, limit: bool(value > limit)),
    "$gte": _compares(lambda value, limit: bool(value >= limit)),
    "$lt": _compares(lambda value, limit: bool(value < limit)),
    "$lte": _compares(lambda value, limit: bool(value <= limit)),
    "$in": _is_in,
    "$nin": lambda values: _negated(_is_in(values)),
    "$exists": _exists,
    "$size": _has_size,
    "$type": has_type,
    "$mod": _has_remainder,
}
