"""The public names: importable, listed in order, documented, and typed."""

import ast
import importlib
import inspect
from collections import Counter
from pathlib import Path
from typing import get_type_hints

import msgspec

import amili_async
from amili_async import AmiliError, Priority, Quota, RateLimiter, events
from tests.architecture.public_face import INTERNAL_BASES, find_mentioned, find_public_values
from tests.architecture.source import MODULES, PACKAGE, ROOT, TESTS, find_functions, parse
from tests.support.errors import ERROR_CLASSES

LISTING = [
    "amili_async",
    "amili_async.export",
    "amili_async.extraction",
    "amili_async.models",
    "amili_async.payments",
    "amili_async.sandbox",
]
PROMISED = {
    "AmiliClient": {
        *("open", "aclose", "from_env", "auth", "resource", "explain"),
        *("payouts", "payout_specifications", "creditor_payments", "creditors", "cases"),
    },
    "Resource": {"get", "page", "count", "stream", "extract", "sweep", "plan"},
    "Extraction": {"batches", "deliveries", "for_each", "checkpoint", "manifest", "aclose", "__aiter__", "__aenter__"},
    "Stream": {
        "pages",
        "deliveries",
        "for_each",
        "checkpoint",
        "first",
        "collect",
        "aclose",
        "__aiter__",
        "__aenter__",
    },
}
"""What the design promises of each; `auth` and the resources are attributes of the instance."""


def test_all_lists_each_importable_name_once() -> None:
    """Each name in `__all__` exists, and none appears twice; ruff sorts them."""
    for listing in LISTING:
        module = importlib.import_module(listing)
        assert [name for name, times in Counter(module.__all__).items() if times > 1] == []
        assert [f"{listing}.{name}" for name in module.__all__ if not hasattr(module, name)] == []


def test_the_package_exports_exactly_what_it_lists() -> None:
    """Every public name of the package is in `__all__`, but for its own modules."""
    public = {name for name, value in vars(amili_async).items() if not name.startswith("_")}
    modules = {path.stem for path in PACKAGE.iterdir()}
    assert public - modules == set(amili_async.__all__) - modules


def test_the_promised_names_exist() -> None:
    """Users rely on these methods and attributes."""
    missing = [
        f"{name}.{attribute}"
        for name, attributes in PROMISED.items()
        for kind in (getattr(amili_async, name),)
        for attribute in sorted(attributes - set(dir(kind)) - set(inspect.get_annotations(kind)))
    ]
    assert missing == []


def test_each_name_in_a_public_signature_is_exported() -> None:
    """A parameter, a result, a field or a base that has a type of this package has one that users can import."""
    public = find_public_values()
    mentioned = {
        f"{label} mentions {origin}.{name}": getattr(importlib.import_module(origin), name)
        for label, value in public.items()
        for origin, name in find_mentioned(value)
        if name not in INTERNAL_BASES
    }
    exported = {id(value) for value in public.values()}
    assert [label for label, value in mentioned.items() if id(value) not in exported] == []


def test_each_public_value_has_a_public_module() -> None:
    """`help()`, tracebacks and pickles name no module with a leading underscore."""
    modules = {label: str(getattr(value, "__module__", "")) for label, value in find_public_values().items()}
    assert [label for label, module in modules.items() if "._" in f".{module}"] == []


def test_a_rate_limiter_can_be_written_with_public_names() -> None:
    """All types in the signatures of `RateLimiter` evaluate, and are those of `amili_async.policies`."""
    members = [member for name, member in vars(RateLimiter).items() if not name.startswith("_")]
    hints = [get_type_hints(member.fget if isinstance(member, property) else member) for member in members]
    used = {kind for hint in hints for kind in hint.values() if getattr(kind, "__module__", "") != "builtins"}
    assert {Priority, Quota | None} <= used
    assert {kind.__module__ for kind in (Priority, Quota, RateLimiter)} == {"amili_async.policies"}


def find_undocumented(name: str) -> list[str]:
    """A public class or function of the package without a docstring, and its public methods without one."""
    value = getattr(amili_async, name)
    if not (inspect.isclass(value) or inspect.isfunction(value)) or value.__module__ == "builtins":
        return []
    members = {
        f"{name}.{attribute}": member
        for attribute, member in vars(value).items()
        if not attribute.startswith("_") and (inspect.isfunction(member) or isinstance(member, property))
    }
    return [label for label, member in {name: value, **members}.items() if not inspect.getdoc(member)]


def test_every_public_name_is_documented() -> None:
    """Each public class and function, and each of their public methods, has a docstring."""
    assert [each for name in amili_async.__all__ for each in find_undocumented(name)] == []


def test_every_class_and_function_of_a_module_is_documented() -> None:
    """Each class and function of a module without a leading underscore has a docstring, in private folders too."""
    silent = [
        f"{module}.{node.name}"
        for module, path in MODULES.items()
        for node in parse(path).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


def find_fields_without_sentence(path: Path) -> list[str]:
    """The fields of public structs in a file that no string follows."""
    structs = [
        node
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ClassDef)
        and not node.name.startswith("_")
        and any("Struct" in ast.unparse(base) for base in node.bases)
    ]
    return [
        f"{path.name}: {struct.name}.{ast.unparse(field)}"
        for struct in structs
        for field, after in zip(struct.body, [*struct.body[1:], None], strict=True)
        if isinstance(field, ast.AnnAssign) and not isinstance(after, ast.Expr)
    ]


def test_every_public_field_has_its_sentence() -> None:
    """A docstring of its own follows each field of a public struct."""
    library = [path for path in MODULES.values() if not {"cli", "sandbox"} & set(path.parts)]
    assert [each for path in library for each in find_fields_without_sentence(path)] == []


def test_records_are_frozen() -> None:
    """Records, events and options are values."""
    kinds = [
        value
        for module in (amili_async, events)
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, msgspec.Struct) and value is not msgspec.Struct
    ]
    assert [kind for kind in kinds if not kind.__struct_config__.frozen] == []


def test_every_error_is_in_the_one_tree() -> None:
    """`except AmiliError` catches every error of the package."""
    assert [kind for kind in ERROR_CLASSES if not issubclass(kind, AmiliError)] == []


def test_every_test_states_what_must_hold() -> None:
    """Each test function opens with a sentence."""
    silent = [
        f"{path.name}: {function.name}"
        for path in sorted(TESTS.rglob("test_*.py"))
        for function in find_functions(path)
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]
    assert silent == []


def test_the_top_level_is_the_one_agreed_on() -> None:
    """The top of the repository holds the agreed files and folders, and nothing else."""
    allowed = {"pyproject.toml", "README.md", "CHANGELOG.md", "amili_async", "tests", "benchmarks"}
    built = {"build", "dist"}
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".") and path.suffix != ".egg-info"}
    assert found - built == allowed
    assert (PACKAGE / "py.typed").exists()
