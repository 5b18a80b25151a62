"""The tests of one field: what each operator of a filter demands of the values found there."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from .bson_values import ARRAY_KIND, NULL, NUMBER_KIND, OBJECT_KIND, Fields, Held, has_type, hold
from .errors import Broken

Test: TypeAlias = Callable[[list[Held | None]], bool]
Comparison: TypeAlias = Callable[[Any, Any], bool]


def compile_test(name: str, operand: Any, compile_where: Callable[[Any], Callable[[Fields], bool]]) -> Test:
    """The test that the operator *name* makes with *operand*; Broken where MongoDB would refuse it."""
    if name == "$not":
        return _negated(compile_condition(_an_object(operand), compile_where))
    if name == "$elemMatch":
        return _has_element(operand, compile_where)
    if name == "$all":
        return _has_all(_a_list(operand), compile_where)
    if name not in _SIMPLE:
        raise Broken(f"unknown operator: {name}")
    return _SIMPLE[name](operand)


def compile_condition(condition: Any, compile_where: Callable[[Any], Callable[[Fields], bool]]) -> Test:
    """The test that a filter makes of one field, written as a plain value or as an object of operators."""
    if not is_operators(condition):
        return equals(condition)
    tests = [compile_test(name, operand, compile_where) for name, operand in condition.items()]
    return tests[0] if len(tests) == 1 else lambda found: all(test(found) for test in tests)


def is_operators(condition: Any) -> bool:
    """Whether an object is one of operators; as in MongoDB its first name decides."""
    return isinstance(condition, dict) and next(iter(condition), "").startswith("$")


def equals(value: Any) -> Test:
    """Equality, with a value or with an element of an array; null also matches a missing field."""
    wanted = hold(value)
    if wanted == NULL:
        return lambda found: any(held is None or held == NULL or _contains(held, NULL) for held in found)
    return lambda found: any(held is not None and (held == wanted or _contains(held, wanted)) for held in found)


def _contains(held: Held, wanted: Held) -> bool:
    return held[0] == ARRAY_KIND and wanted in held[1]


def _negated(test: Test) -> Test:
    return lambda found: not test(found)


def _compares(comparison: Comparison) -> Callable[[Any], Test]:
    def compile_comparison(value: Any) -> Test:
        kind, limit = wanted = hold(value)
        if wanted == NULL:
            return equals(None) if comparison(0, 0) else _never
        return lambda found: any(
            (held[0] == kind and comparison(held[1], limit))
            or (held[0] == ARRAY_KIND and any(each[0] == kind and comparison(each[1], limit) for each in held[1]))
            for held in found
            if held is not None
        )

    return compile_comparison


def _is_in(values: Any) -> Test:
    if any(is_operators(value) for value in _a_list(values)):
        raise Broken("cannot nest $ under $in")
    wanted = {hold(value) for value in values}
    null_too = NULL in wanted
    return lambda found: any(
        null_too if held is None else held in wanted or (held[0] == ARRAY_KIND and not wanted.isdisjoint(held[1]))
        for held in found
    )


def _exists(wanted: Any) -> Test:
    if wanted not in (None, 0):
        return lambda found: any(held is not None for held in found)
    return lambda found: all(held is None for held in found)


def _has_size(size: Any) -> Test:
    wanted = _whole_number(size)
    if wanted < 0:
        raise Broken("$size may not be negative")
    return lambda found: any(held is not None and held[0] == ARRAY_KIND and len(held[1]) == wanted for held in found)


def _has_remainder(operand: Any) -> Test:
    if len(_a_list(operand)) != 2 or not _whole_number(operand[0]):
        raise Broken("$mod takes a divisor other than zero and a remainder")
    divisor, remainder = (_whole_number(number) for number in operand)

    def leaves_it(held: Held) -> bool:
        return held[0] == NUMBER_KIND and _remainder(int(held[1]), divisor) == remainder

    return lambda found: any(
        leaves_it(held) or (held[0] == ARRAY_KIND and any(map(leaves_it, held[1])))
        for held in found
        if held is not None
    )


def _remainder(number: int, divisor: int) -> int:
    """As in C: the sign is that of the number."""
    rest = abs(number) % abs(divisor)
    return -rest if number < 0 else rest


def _has_all(values: list[Any], compile_where: Callable[[Any], Callable[[Fields], bool]]) -> Test:
    tests = [
        compile_test("$elemMatch", value["$elemMatch"], compile_where) if is_operators(value) else equals(value)
        for value in values
        if not is_operators(value) or next(iter(value)) == "$elemMatch" or _refuse("no $ expressions in $all")
    ]
    return lambda found: bool(tests) and all(test(found) for test in tests)


def _has_element(operand: Any, compile_where: Callable[[Any], Callable[[Fields], bool]]) -> Test:
    if is_operators(_an_object(operand)) and next(iter(operand)) not in ("$and", "$or", "$nor"):
        test = compile_condition(operand, compile_where)
        return lambda found: any(test([element]) for element in _elements(found))
    matches = compile_where(operand)
    return lambda found: any(
        matches({name: value for _, name, value in element[1]})
        for element in _elements(found)
        if element[0] == OBJECT_KIND
    )


def _elements(found: list[Held | None]) -> list[Held]:
    return [element for held in found if held is not None and held[0] == ARRAY_KIND for element in held[1]]


def _a_list(operand: Any) -> list[Any]:
    return operand if isinstance(operand, list) else _refuse("needs an array")


def _an_object(operand: Any) -> dict[str, Any]:
    return operand if isinstance(operand, dict) else _refuse("needs an object")


def _whole_number(operand: Any) -> int:
    kind, number = hold(operand)
    return int(number) if kind == NUMBER_KIND and number == int(number) else _refuse("no number")


def _refuse(reason: str) -> Any:
    raise Broken(reason)


def _never(_found: list[Held | None]) -> bool:
    return False


def _not_in(values: Any) -> Test:
    return _negated(_is_in(values))


_SIMPLE: Mapping[str, Callable[[Any], Test]] = {
    "$eq": equals,
    "$ne": lambda value: _negated(equals(value)),
    "$gt": _compares(lambda held, limit: bool(held > limit)),
    "$gte": _compares(lambda held, limit: bool(held >= limit)),
    "$lt": _compares(lambda held, limit: bool(held < limit)),
    "$lte": _compares(lambda held, limit: bool(held <= limit)),
    "$in": _is_in,
    "$nin": _not_in,
    "$exists": _exists,
    "$size": _has_size,
    "$type": has_type,
    "$mod": _has_remainder,
}
