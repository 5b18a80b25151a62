"""Which error an answer stands for: by its status, and by `_status` and `_error` in its body.

Eve's bodies are JSON for most refusals, but Flask's HTML page for a 500, and proxies send what they like. Field
errors come in `_issues` or in `_error.details`, each a text, a list of them, or nested.
"""

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from amili_async.errors import (
    AmiliError,
    ApiError,
    AuthenticationError,
    BadRequest,
    Conflict,
    Forbidden,
    NotFound,
    RateLimited,
    ServerFault,
    ValidationFailed,
)

_MEANINGS: Mapping[int, tuple[type[ApiError], str]] = {
    400: (BadRequest, "the server could not make sense of it; the API refuses unknown operators and malformed JSON"),
    403: (Forbidden, "these credentials may not do this"),
    404: (NotFound, "there is no such record or path, or none that these credentials may see"),
    409: (Conflict, "the record is not in the state that the request assumes"),
    412: (Conflict, "the record has changed meanwhile"),
    422: (ValidationFailed, "the document is not valid"),
    428: (Conflict, "the server wants to know which version of the record is meant"),
    429: (RateLimited, "more requests than the rate limit allows"),
}
_EXCERPT = 300
_DEEPEST = 8
_MOST_NAMED = 10
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z_.]{0,63}")


def error_from_response(request: str, status: int, body: bytes) -> AmiliError:
    """The error for an answer that is none of the good ones; *request* is method and path."""
    answer = _read_object(body)
    error = answer.get("_error")
    error = error if isinstance(error, dict) else {}
    code = error.get("code")
    answered = status
    if status < 400 and isinstance(code, int) and 400 <= code < 600:
        status = code  # the body says ERR although the status does not
    if status == 401:
        message = f"{request} was refused with 401: the access token is not accepted"
        return AuthenticationError(message, status=401, answered=answered, request=request)
    kind, meaning = _meaning_of(status)
    issues = {**_collect_issues(answer.get("_issues")), **_collect_issues(error.get("details"))}
    names = sorted(name for name in issues if _FIELD_NAME.fullmatch(name))[:_MOST_NAMED]
    named = f" (fields: {', '.join(names)}; see .issues)" if names else ""
    return kind(
        f"{request} was answered with {status}: {meaning}{named}",
        status=status,
        code=code if isinstance(code, (int, str)) else None,
        request=request,
        issues=issues,
        excerpt=_excerpt(error.get("message"), body),
        answered=answered,
    )


def body_reports_error(body: bytes) -> bool:
    """Whether the body of an answer that is good by its status says that it is not."""
    return _read_object(body).get("_status") == "ERR"


def _meaning_of(status: int) -> tuple[type[ApiError], str]:
    if status in _MEANINGS:
        return _MEANINGS[status]
    if status >= 500:
        return ServerFault, "the server, or something in front of it, failed"
    if 300 <= status < 400:
        return ApiError, "redirects are not followed, since the credential would travel along; check base_url"
    return ApiError, "the API does not document this status here"


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _collect_issues(issues: Any) -> dict[str, tuple[str, ...]]:
    """Dotted field names to what is wrong with each, however deeply the server nested them."""
    collected: dict[str, tuple[str, ...]] = {}
    if isinstance(issues, dict):
        for name, text in _walk_issues(issues, "", _DEEPEST):
            collected[name] = (*collected.get(name, ()), text)
    return collected


def _walk_issues(issues: Any, name: str, levels: int) -> Iterator[tuple[str, str]]:
    if isinstance(issues, dict) and levels:
        for part, inner in issues.items():
            yield from _walk_issues(inner, f"{name}.{part}" if name else str(part), levels - 1)
    elif isinstance(issues, list) and levels:
        for inner in issues:
            yield from _walk_issues(inner, name, levels - 1)
    else:
        yield name, str(issues)[:_EXCERPT]


def _excerpt(message: Any, body: bytes) -> str:
    if isinstance(message, str):
        return message[:_EXCERPT]
    text = re.sub(r"<[^>]*>", " ", body[: 10 * _EXCERPT].decode(errors="replace"))
    return " ".join(html.unescape(text).split())[:_EXCERPT]
