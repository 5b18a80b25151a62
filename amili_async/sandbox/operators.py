"""The operators of one field in a filter, as tests of the values found there."""

import math
import operator
from collections.abc import Callable, Mapping, Sequence, Set
from decimal import Decimal
from functools import partial
from typing import Any, TypeAlias, TypeVar

from .answers import ServerCrash
from .bson_values import ARRAY_KIND, NULL, NUMBER_KIND, OBJECT_KIND, BsonValue, RowFields, to_bson, type_name

FieldTest: TypeAlias = Callable[[list[BsonValue | None]], bool]
RowTest: TypeAlias = Callable[[RowFields], bool]
CompileWhere: TypeAlias = Callable[[Any], RowTest]
"""`filters.compile_where`, passed in because `$elemMatch` holds a whole filter."""

_Kind = TypeVar("_Kind")
_Tested = TypeVar("_Tested")
_TYPE_NUMBERS = dict(enumerate(("double", "string", "object", "array", "binData"), 1))
_TYPE_NUMBERS |= dict(enumerate(("objectId", "bool", "date", "null", "regex"), 7))
_TYPE_NUMBERS |= {13: "javascript", 16: "int", 17: "timestamp", 18: "long", 19: "decimal"}


def compile_condition(condition: Any, compile_where: CompileWhere) -> FieldTest:
    """The test of one field, written as a plain value or as an object of operators."""
    if not is_operators(condition):
        return _equals(condition)
    return all_of([_compile_operator(name, operand, compile_where) for name, operand in condition.items()])


def _compile_operator(name: str, operand: Any, compile_where: CompileWhere) -> FieldTest:
    """The test of one operator; ServerCrash where MongoDB rejects it."""
    if name == "$not":
        return _negated(compile_condition(_checked(operand, dict), compile_where))
    if name == "$elemMatch":
        return _has_element(operand, compile_where)
    if name == "$all":
        return _has_all(_checked(operand, list), compile_where)
    if name not in _SIMPLE:
        raise ServerCrash(f"unknown operator: {name}")
    return _SIMPLE[name](operand)


def is_operators(condition: Any) -> bool:
    """Whether an object is one of operators; as in MongoDB its first name decides."""
    return isinstance(condition, dict) and next(iter(condition), "").startswith("$")


def all_of(tests: Sequence[Callable[[_Tested], bool]]) -> Callable[[_Tested], bool]:
    """The test that passes if all do."""
    if len(tests) == 1:
        return tests[0]

    # Loops here and below: a generator for each row takes twice the time, and each request reads all rows.
    def test_all(tested: _Tested) -> bool:
        for test in tests:  # noqa: SIM110 - see above
            if not test(tested):
                return False
        return True

    return test_all


def _any_value(test: Callable[[BsonValue], bool]) -> FieldTest:
    """Whether a test passes for a value or for an element of an array."""

    def test_any(found: list[BsonValue | None]) -> bool:
        for value in found:
            if value is not None and (test(value) or (value[0] == ARRAY_KIND and any(map(test, value[1])))):
                return True
        return False

    return test_any


def _equals(value: Any) -> FieldTest:
    return _equals_any({to_bson(value)})


def _equals_any(wanted: Set[BsonValue]) -> FieldTest:
    """Equality with one of several values; null also matches a missing field."""
    matches = _any_value(wanted.__contains__)
    return (lambda found: None in found or matches(found)) if NULL in wanted else matches


def _negated(test: FieldTest) -> FieldTest:
    return lambda found: not test(found)


def _compares(comparison: Callable[[Any, Any], bool], limit: Any) -> FieldTest:
    kind, content = bound = to_bson(limit)
    if bound == NULL:  # $gte and $lte null match null and missing fields, $gt and $lt null match nothing
        return _equals(None) if comparison(0, 0) else lambda _found: False
    return _any_value(lambda value: value[0] == kind and comparison(value[1], content))


def _is_in(values: Any) -> FieldTest:
    if any(is_operators(value) for value in _checked(values, list)):
        raise ServerCrash("cannot nest $ under $in")
    return _equals_any({to_bson(value) for value in values})


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
    if len(_checked(operand, list)) != 2 or not _whole_number(operand[0]):
        raise ServerCrash("$mod takes a divisor other than zero and a remainder")
    divisor, remainder = (_whole_number(number) for number in operand)
    return _any_value(lambda value: value[0] == NUMBER_KIND and _remainder(int(value[1]), divisor) == remainder)


def _remainder(number: int, divisor: int) -> int:
    rest = abs(number) % abs(divisor)  # MongoDB divides as C does: the sign is that of the number
    return -rest if number < 0 else rest


def _has_all(values: list[Any], compile_where: CompileWhere) -> FieldTest:
    def compile_value(value: Any) -> FieldTest:
        if not is_operators(value):
            return _equals(value)
        if next(iter(value)) != "$elemMatch":
            raise ServerCrash("no $ expressions in $all")
        return _has_element(value["$elemMatch"], compile_where)

    tests = [compile_value(value) for value in values]
    return lambda found: bool(tests) and all(test(found) for test in tests)


def _has_element(operand: Any, compile_where: CompileWhere) -> FieldTest:
    if is_operators(_checked(operand, dict)) and next(iter(operand)) not in ("$and", "$or", "$nor"):
        test = compile_condition(operand, compile_where)
        return lambda found: any(test([element]) for element in _elements(found))
    matches = compile_where(operand)
    return lambda found: any(
        matches({name: value for _, name, value in element[1]})
        for element in _elements(found)
        if element[0] == OBJECT_KIND
    )


def _has_type(types: Any) -> FieldTest:
    if types == []:
        raise ServerCrash("$type must match at least one type")
    wanted = set().union(*(_read_type(each) for each in (types if isinstance(types, list) else [types])))
    return _any_value(lambda value: type_name(value) in wanted)


def _read_type(name: Any) -> set[str]:
    word = _TYPE_NUMBERS.get(int(name), name) if isinstance(name, int | Decimal) and name == int(name) else name
    if word == "number":
        return {"int", "double"}
    if not isinstance(word, str) or word not in _TYPE_NUMBERS.values():
        raise ServerCrash(f"unknown type name: {name}")
    return {word}


def _elements(found: list[BsonValue | None]) -> list[BsonValue]:
    return [element for value in found if value is not None and value[0] == ARRAY_KIND for element in value[1]]


def _checked(operand: Any, kind: type[_Kind]) -> _Kind:
    if not isinstance(operand, kind):
        raise ServerCrash(f"the operand must be a {kind.__name__}")
    return operand


def _whole_number(operand: Any) -> int:
    kind, number = to_bson(operand)
    if kind != NUMBER_KIND or not math.isfinite(number) or number != int(number):
        raise ServerCrash("the operand must be a whole number")
    return int(to_bson(int(number))[1])


_SIMPLE: Mapping[str, Callable[[Any], FieldTest]] = {
    "$eq": _equals,
    "$ne": lambda value: _negated(_equals(value)),
    "$gt": partial(_compares, operator.gt),
    "$gte": partial(_compares, operator.ge),
    "$lt": partial(_compares, operator.lt),
    "$lte": partial(_compares, operator.le),
    "$in": _is_in,
    "$nin": lambda values: _negated(_is_in(values)),
    "$exists": _exists,
    "$size": _has_size,
    "$type": _has_type,
    "$mod": _has_remainder,
}
