"""The ways in which a request fails: each is raised where it is detected and answered in `Endpoints.answer`."""

from collections.abc import Mapping
from typing import Any

BAD_REQUEST = "The browser (or proxy) sent a request that this server could not understand."


class HttpError(Exception):
    """Answered with a JSON error in Eve's format."""

    def __init__(self, status: int, message: str = BAD_REQUEST, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


class InvalidDocuments(Exception):
    """Posted documents that the schema rejects; answered with a 422 that lists the issues of each."""

    def __init__(self, results: list[dict[str, Any]], *, failures: int) -> None:
        super().__init__(f"{failures} document(s)")
        self.results = results
        self.failures = failures


class ServerCrash(Exception):
    """An error that Eve does not catch; answered with a 500 and a page of HTML."""


def not_implemented(feature: str) -> HttpError:
    """The 400 for a feature of Eve that the sandbox leaves out; its message names the feature."""
    return HttpError(400, f"The sandbox does not implement {feature}.")


def reject_constant(name: str) -> None:
    """For `json.loads`: NaN and the infinities are not valid JSON in a parameter."""
    raise ValueError(name)
