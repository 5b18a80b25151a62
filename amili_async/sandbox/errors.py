"""The ways in which a request can fail: each is raised where it is noticed and answered in one place."""

from collections.abc import Mapping
from typing import Any

UNREADABLE = "The browser (or proxy) sent a request that this server could not understand."


class Refused(Exception):
    """Answered with a JSON error of Eve's shape."""

    def __init__(self, status: int, message: str = UNREADABLE, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


class Invalid(Exception):
    """A posted document, or several, that the schema refuses; answered with a 422 that lists the issues."""

    def __init__(self, results: list[dict[str, Any]], *, failures: int) -> None:
        super().__init__(f"{failures} document(s)")
        self.results = results
        self.failures = failures


class Broken(Exception):
    """What Eve does not catch: answered with a 500 and a page of HTML."""


def not_implemented(what: str) -> Refused:
    """The 400 for a feature of Eve's that the sandbox leaves out; its message names the feature."""
    return Refused(400, f"The sandbox does not implement {what}.")


def refuse_constant(name: str) -> None:
    """For a JSON reader: NaN and the infinities are no JSON in a parameter."""
    raise ValueError(name)
