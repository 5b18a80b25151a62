"""HTTP answers in Eve's formats: a page of a list, an error, the issues of posted documents.

Each error is raised where it is detected and becomes an answer in `Endpoints.answer`.
"""

import json
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

JSON = "application/json"
HTML = "text/html; charset=utf-8"
BAD_REQUEST = "The browser (or proxy) sent a request that this server could not understand."
INTERNAL_ERROR = "The server encountered an internal error and was unable to complete your request."
answer_json = msgspec.json.Encoder(decimal_format="number").encode


def html_page(status: int, title: str, text: str) -> str:
    """The error page of a server or gateway."""
    return f"<!doctype html>\n<html lang=en>\n<title>{status} {title}</title>\n<h1>{title}</h1>\n<p>{text}</p>\n"


class Answer(Struct, frozen=True, kw_only=True):
    """One HTTP response."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = JSON

    @classmethod
    def of(cls, value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> "Answer":
        """An answer that carries a value as JSON; numbers keep their digits."""
        return cls(status=status, body=answer_json(value), headers=headers or {})

    def with_headers(self, headers: Mapping[str, str]) -> "Answer":
        return replace(self, headers={**self.headers, **headers}) if headers else self


class HttpError(Exception):
    """Answered with a JSON error in Eve's format."""

    def __init__(self, status: int, message: str = BAD_REQUEST, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})

    def answer(self) -> Answer:
        content = {"_status": "ERR", "_error": {"code": self.status, "message": self.message}}
        return Answer.of(content, status=self.status, headers=self.headers)


class InvalidDocuments(Exception):
    """Posted documents that the schema rejects: a 422 with the issues of one, or with a list of results for several."""

    def __init__(self, results: list[dict[str, Any]]) -> None:
        self.results = results
        failures = sum("_issues" in result for result in results)
        super().__init__(f"Insertion failure: {failures} document(s) contain(s) error(s)")

    def answer(self) -> Answer:
        content = self.results[0] if len(self.results) == 1 else {"_status": "ERR", "_items": self.results}
        # Escaped to ASCII, because an issue may repeat a lone surrogate, which is not encodable as UTF-8.
        return Answer(status=422, body=json.dumps({**content, "_error": {"code": 422, "message": str(self)}}).encode())


class ServerCrash(Exception):
    """An error that Eve does not catch; answered with a 500 and a page of HTML from Flask."""

    def answer(self) -> Answer:
        page = html_page(500, "Internal Server Error", INTERNAL_ERROR)
        return Answer(status=500, body=page.encode(), content_type=HTML)


def not_implemented(feature: str) -> HttpError:
    """The 400 for a feature of Eve that the sandbox leaves out; its message names the feature."""
    return HttpError(400, f"The sandbox does not implement {feature}.")


def reject_constant(name: str) -> None:
    """For `json.loads`: NaN and the infinities are not valid JSON in a parameter."""
    raise ValueError(name)


def page_answer(encoded_rows: list[bytes], *, page: int, max_results: int, total: int) -> Answer:
    """A page of rows that are already encoded."""
    meta = b'],"_meta":{"page":%d,"max_results":%d,"total":%d}}' % (page, max_results, total)
    body = b"".join((b'{"_items":[', b",".join(encoded_rows), meta))
    return Answer(body=body, headers={"X-Total-Count": str(total)})
