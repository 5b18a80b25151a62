"""Which rows a filter selects, once it has been read: MongoDB's matching."""

from collections.abc import Callable
from typing import Any, TypeAlias

from .bson_values import Fields, reader
from .errors import Broken
from .operators import compile_condition

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
