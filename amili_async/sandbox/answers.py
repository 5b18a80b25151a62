"""What is sent back: Eve's shapes of a listing, a record, an error and a breakdown."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from .errors import Invalid, Refused

JSON = "application/json"
HTML = "text/html; charset=utf-8"
_encoder = msgspec.json.Encoder(decimal_format="number")


def html_page(status: int, title: str, text: str) -> str:
    """A server's or gateway's own error page."""
    return f"<!doctype html>\n<html lang=en>\n<title>{status} {title}</title>\n<h1>{title}</h1>\n<p>{text}</p>\n"


_BROKEN_PAGE = html_page(
    500, "Internal Server Error", "The server encountered an internal error and was unable to complete your request."
).encode()


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP response."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    content_type: str = JSON

    @classmethod
    def of(cls, value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> "Answer":
        """An answer that carries a value as JSON; numbers keep their digits."""
        return cls(status=status, body=_encoder.encode(value), headers=headers or {})

    @classmethod
    def broken(cls) -> "Answer":
        """Eve's 500, which is HTML."""
        return cls(status=500, body=_BROKEN_PAGE, content_type=HTML)

    def with_headers(self, headers: Mapping[str, str]) -> "Answer":
        """The same answer with headers added."""
        if not headers:
            return self
        return Answer(
            status=self.status,
            body=self.body,
            headers={**self.headers, **headers},
            content_type=self.content_type,
        )


def listing(encoded_rows: list[bytes], *, page: int, max_results: int, total: int) -> Answer:
    """A page of rows that are already encoded."""
    meta = b'],"_meta":{"page":%d,"max_results":%d,"total":%d}}' % (page, max_results, total)
    body = b"".join((b'{"_items":[', b",".join(encoded_rows), meta))
    return Answer(body=body, headers={"X-Total-Count": str(total)})


def error_answer(refused: Refused) -> Answer:
    """Eve's JSON error."""
    error = {"code": refused.status, "message": refused.message}
    return Answer.of({"_status": "ERR", "_error": error}, status=refused.status, headers=refused.headers)


def invalid_answer(invalid: Invalid) -> Answer:
    """Eve's 422: the issues of the one document posted, or a list of results for several."""
    results = invalid.results
    content = results[0] if len(results) == 1 else {"_status": "ERR", "_items": results}
    message = f"Insertion failure: {invalid.failures} document(s) contain(s) error(s)"
    return Answer.of({**content, "_error": {"code": 422, "message": message}}, status=422)


def reason(status: int) -> str:
    """The words that belong to a status in a status line."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
