"""Which error an error response means: by its status, and by `_status` and `_error` in its body.

The body of an error response is JSON from Eve, but Flask's HTML page for a 500, and anything from a proxy. Field errors
are in `_issues` or in `_error.details`, each a text, a list of texts, or nested.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from amili_async import errors
from amili_async.errors import AmiliError, ApiError, AuthenticationError

_MEANINGS: Mapping[int, tuple[type[ApiError], str]] = {
    400: (errors.BadRequest, "the request is malformed; the API rejects unknown operators and invalid JSON"),
    403: (errors.Forbidden, "these credentials do not permit this"),
    404: (errors.NotFound, "there is no such record or path, or these credentials may not see it"),
    409: (errors.Conflict, "the record is not in the state that the request assumes"),
    412: (errors.Conflict, "the record was changed concurrently"),
    422: (errors.ValidationFailed, "the document is not valid"),
    428: (errors.Conflict, "the request must name the version of the record"),
    304: (ApiError, "no condition was sent, so a cache or proxy answered in place of the API"),
    429: (errors.RateLimited, "more requests than the rate limit allows"),
}
_EXCERPT = 300
"""Characters of the server's own words that an error keeps."""
_MAX_DEPTH = 8
_MAX_NAMED = 10
"""Fields that the text of an error names."""
_FIELD_NAME = r"[A-Za-z_][A-Za-z_.]{0,63}"


def error_from_response(request: str, status: int, body: bytes) -> AmiliError:
    """The error for an error response; *request* is method and path."""
    answer = _read_object(body)
    reported = answer.get("_error")
    error = reported if isinstance(reported, dict) else {}
    code = error.get("code")
    http_status = status
    if status < 400 and isinstance(code, int) and 400 <= code < 600:
        status = code  # a 2xx whose body reports an error: the body decides which
    if status == 401:
        message = f"{request} returned 401: the access token was rejected"
        return AuthenticationError(message, status=401, http_status=http_status, request=request)
    kind, meaning = _MEANINGS.get(status) or _meaning_of_others(status)
    issues = {**_collect_issues(answer.get("_issues")), **_collect_issues(error.get("details"))}
    # Only what looks like a field name: the keys are the server's, and it may quote a value in them.
    names = sorted(name for name in issues if re.fullmatch(_FIELD_NAME, name))[:_MAX_NAMED]
    named = f" (fields: {', '.join(names)}; see .issues)" if names else ""
    return kind(
        f"{request} returned {status}: {meaning}{named}",
        status=status,
        code=code if isinstance(code, (int, str)) else None,
        request=request,
        issues=issues,
        excerpt=_excerpt(error.get("message"), body),
        http_status=http_status,
    )


def body_reports_error(body: bytes) -> bool:
    """Whether a body has `_status: "ERR"`, which Eve can send with a 200."""
    return _read_object(body).get("_status") == "ERR"


def _meaning_of_others(status: int) -> tuple[type[ApiError], str]:
    if status >= 500:
        return errors.ServerFault, "the server, or a proxy in front of it, failed"
    if 300 <= status < 400:
        return ApiError, "redirects are not followed, since they would take the credential along; check base_url"
    return ApiError, "the API does not document this status"


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _collect_issues(issues: Any) -> dict[str, tuple[str, ...]]:
    """Dotted field names to what is wrong with each."""
    collected: dict[str, tuple[str, ...]] = {}
    if isinstance(issues, dict):
        for name, text in _walk_issues(issues, "", _MAX_DEPTH):
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
    from html import unescape

    text = re.sub(r"<[^>]*>", " ", body[: 10 * _EXCERPT].decode(errors="replace"))
    return " ".join(unescape(text).split())[:_EXCERPT]
