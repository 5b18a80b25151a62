"""HTTP answers in Eve's formats: a page of a list, an error, the issues of posted documents."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from .errors import HttpError, InvalidDocuments

JSON = "application/json"
HTML = "text/html; charset=utf-8"
_encoder = msgspec.json.Encoder(decimal_format="number")


def html_page(status: int, title: str, text: str) -> str:
    """The error page of a server or gateway."""
    return f"<!doctype html>\n<html lang=en>\n<title>{status} {title}</title>\n<h1>{title}</h1>\n<p>{text}</p>\n"


_INTERNAL_ERROR = html_page(
    500, "Internal Server Error", "The server encountered an internal error and was unable to complete your request."
).encode()


class Answer(Struct, frozen=True, kw_only=True):
    """One HTTP response."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = JSON

    @classmethod
    def of(cls, value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> "Answer":
        """An answer that carries a value as JSON; numbers keep their digits."""
        return cls(status=status, body=_encoder.encode(value), headers=headers or {})

    @classmethod
    def internal_error(cls) -> "Answer":
        """The 500 of Eve 2.3, which is a page of HTML from Flask."""
        return cls(status=500, body=_INTERNAL_ERROR, content_type=HTML)

    def with_headers(self, headers: Mapping[str, str]) -> "Answer":
        """The same answer with headers added."""
        return replace(self, headers={**self.headers, **headers}) if headers else self


def page_answer(encoded_rows: list[bytes], *, page: int, max_results: int, total: int) -> Answer:
    """A page of rows that are already encoded."""
    meta = b'],"_meta":{"page":%d,"max_results":%d,"total":%d}}' % (page, max_results, total)
    body = b"".join((b'{"_items":[', b",".join(encoded_rows), meta))
    return Answer(body=body, headers={"X-Total-Count": str(total)})


def error_answer(error: HttpError) -> Answer:
    """Eve's JSON error."""
    content = {"_status": "ERR", "_error": {"code": error.status, "message": error.message}}
    return Answer.of(content, status=error.status, headers=error.headers)


def invalid_answer(invalid: InvalidDocuments) -> Answer:
    """Eve's 422: the issues of the one document posted, or a list of results for several."""
    results = invalid.results
    content = results[0] if len(results) == 1 else {"_status": "ERR", "_items": results}
    message = f"Insertion failure: {invalid.failures} document(s) contain(s) error(s)"
    # Escaped to ASCII, because an issue may repeat a lone surrogate, which is not encodable as UTF-8.
    body = json.dumps({**content, "_error": {"code": 422, "message": message}}).encode()
    return Answer(status=422, body=body)


def reason_phrase(status: int) -> str:
    """The reason phrase of a status line."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
