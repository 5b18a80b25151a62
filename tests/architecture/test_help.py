"""What `help()`, pydoc, pdoc and editors show of the public calls."""

import inspect
import pydoc
import re
from collections.abc import Callable, Iterator
from typing import Any, get_overloads

import msgspec
import pdoc.doc
import pytest

import amili_async.sandbox
import amili_async.testing
from amili_async import AmiliClient, ApiCodeCredentials
from tests.architecture.public_face import RETURNED_ONLY, find_public_values

MOST_IN_A_SENTENCE = 3
"""Parameters that a sentence can document; more have a line each."""
NOISE = re.compile(r"<factory>|mappingproxy|[ (]_[a-z]|amili_async\.([a-z]+\.)?_|object at 0x")
"""What no signature shows: internal parameters and modules, and defaults that show nothing."""


def find_calls() -> Iterator[tuple[str, Callable[..., Any], str]]:
    """The public functions and methods, and the constructors that callers use, each with its docstring."""
    others = {f"{kind.__module__}.Sandbox": kind for kind in (amili_async.sandbox.Sandbox, amili_async.testing.Sandbox)}
    for label, value in (find_public_values() | others).items():
        if inspect.isfunction(value):
            yield label, value, inspect.getdoc(value) or ""
        elif inspect.isclass(value) and not issubclass(value, msgspec.Struct | dict | BaseException):
            for name, method in vars(value).items():
                function = getattr(method, "__func__", method)
                if inspect.isfunction(function) and not name.startswith("_"):
                    yield f"{label}.{name}", function, inspect.getdoc(getattr(value, name)) or ""
            if "__init__" in vars(value) and value.__name__ not in RETURNED_ONLY:
                yield label, value.__init__, value.__doc__ or ""


CALLS = {label: (function, doc) for label, function, doc in find_calls()}
OVERLOADED = {label: function for label, (function, _) in CALLS.items() if get_overloads(function)}


def list_parameters(function: Callable[..., Any]) -> list[str]:
    """The names of its parameters, but for itself and `**options`, whose names are those of another call."""
    named = [each for each in inspect.signature(function).parameters.values() if each.kind is not each.VAR_KEYWORD]
    return [each.name for each in named if each.name not in ("self", "cls")]


def list_documented(doc: str) -> set[str]:
    """The parameters that have a line of their own in a docstring."""
    heads = re.findall(r"^ *- ((?:\*\w+\*(?:, )?)+):", doc, flags=re.MULTILINE)
    return {name for head in heads for name in re.findall(r"\w+", head)}


def test_each_parameter_of_many_has_its_line() -> None:
    """A call with more than three parameters documents each on a line of its own, and no line names another."""
    wrong = {}
    for label, (function, doc) in CALLS.items():
        parameters, documented = set(list_parameters(function)), list_documented(doc)
        is_wrong = documented != parameters if len(parameters) > MOST_IN_A_SENTENCE else documented - parameters
        if is_wrong:
            wrong[label] = documented ^ parameters
    assert wrong == {}


def test_signatures_show_what_callers_pass() -> None:
    """No public signature has an internal parameter, a private module, or a default that hides what it is."""
    noise = {label: NOISE.findall(str(inspect.signature(function))) for label, (function, _) in CALLS.items()}
    assert {label: found for label, found in noise.items() if found} == {}


def test_these_calls_have_overloads() -> None:
    """Those that return another type with `into=`, and the two ways to insert a row."""
    assert {label.rpartition(".")[2] for label in OVERLOADED} == {"get", "page", "stream", "extract", "insert"}


def show_with_pydoc(function: Callable[..., Any]) -> str:
    """The signature that `help()` shows."""
    first_line = (inspect.getdoc(function) or "").partition("\n")[0]
    return pydoc.plain(pydoc.render_doc(function)).partition(first_line)[0]


def show_with_pdoc(function: Callable[..., Any]) -> str:
    """The signature on the page of the reference."""
    shown = pdoc.doc.Module.from_name(function.__module__).get(function.__qualname__)
    assert isinstance(shown, pdoc.doc.Function)
    return str(shown.signature)


@pytest.mark.parametrize("show", [show_with_pydoc, show_with_pdoc])
@pytest.mark.parametrize("label", OVERLOADED)
def test_each_overload_is_shown(label: str, show: Callable[[Callable[..., Any]], str]) -> None:
    """The signature that is shown has the parameters and the results of all overloads of a call."""
    function = OVERLOADED[label]
    parameters, result = show(function).rsplit(" -> ", 1)
    for overload in get_overloads(function):
        signature = inspect.signature(overload)
        assert inspect.formatannotation(signature.return_annotation) in result
        assert [name for name in list_parameters(overload) if not re.search(rf"\b{name}: ", parameters)] == []


def test_no_call_hides_what_it_returns() -> None:
    """Where a type of the caller's may be returned, the signature shows it, and not `Any`."""
    results = {label: inspect.signature(function).return_annotation for label, function in OVERLOADED.items()}
    assert [label for label, result in results.items() if "Any" in str(result)] == []


@pytest.mark.parametrize("kind", [AmiliClient, ApiCodeCredentials])
def test_help_of_a_class_lists_its_options(kind: type) -> None:
    """`help()` and the reference show each parameter of the constructor with its line."""
    shown = pydoc.plain(pydoc.render_doc(kind))
    described = pdoc.doc.Class(kind.__module__, kind.__qualname__, kind, (kind.__module__, kind.__qualname__)).docstring
    for name in list_parameters(kind):
        assert re.search(rf"^ \|  - .*\*{name}\*.*:", shown, flags=re.MULTILINE)
        assert re.search(rf"^- .*\*{name}\*.*:", described, flags=re.MULTILINE)
