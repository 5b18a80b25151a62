"""What pages and errors keep of the head of their response: the status, and the headers of a closed list.

Invariant: no header outside the list is shown or pickled. Others can hold a cookie, a credential, or a URL with its
query.
"""

import copyreg
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NoReturn, Self

from msgspec import Struct

REQUEST_IDS = (
    "x-request-id",
    "x-correlation-id",
    "x-amzn-requestid",
    "x-amzn-trace-id",
    "x-amz-apigw-id",
    "x-amz-cf-id",
    "cf-ray",
    "x-azure-ref",
    "x-cloud-trace-context",
)
"""Headers by which a server or gateway finds a request in its logs: the nearest to the API first."""
_ID = re.compile(r"[!-~]{1,128}")
_NUMBER_OR_DATE = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?|[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT")
_TEXT = re.compile(r"[ -~]{1,256}")
KEPT_HEADERS: Mapping[str, re.Pattern[str]] = {
    **dict.fromkeys(REQUEST_IDS, _ID),
    # Which machines and caches answered, and when.
    **dict.fromkeys(("server", "via", "x-cache", "x-served-by", "x-amz-cf-pop"), _TEXT),
    **dict.fromkeys(("date", "age", "retry-after"), _NUMBER_OR_DATE),
    **dict.fromkeys(("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"), _NUMBER_OR_DATE),
    # Whether it is an answer of the API at all.
    **dict.fromkeys(("content-type", "content-encoding"), _TEXT),
}
"""The headers that are kept, and the form of their values: printable ASCII of bounded length. They identify or explain
a response, and hold nothing of records or credentials."""


def _raise_immutable(*_: object, **__: object) -> NoReturn:
    """Not available: the headers of a response cannot be changed."""
    raise TypeError("the headers of a response cannot be changed")


class Headers(dict[str, str]):
    """The harmless ones of what was *received*, by their names in lower case; looked up regardless of case; immutable.

    Those of a closed list, in printable ASCII: ids of the request, the machines and caches that answered, date, rate
    limit and type of content. Never cookies, credentials or URLs. A `dict`, so that JSON loggers write it.
    """

    def __init__(self, received: Mapping[str, str] = MappingProxyType({}), /) -> None:
        # Of several with one name the last.
        super().__init__(
            {
                lower: value
                for name, value in received.items()
                if (form := KEPT_HEADERS.get(lower := name.lower())) is not None and form.fullmatch(value)
            }
        )

    @property
    def request_id(self) -> str | None:
        """The id by which the server's operators find the request; `None` if it sent none."""
        return next((self[name] for name in REQUEST_IDS if name in self), None)

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
        return super().get(name.lower(), default)

    def __hash__(self) -> int:  # type: ignore[override]  # a dict has none, since it can be changed
        return hash(frozenset(self.items()))

    def __repr__(self) -> str:
        return f"Headers({super().__repr__()})"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return type(self), (dict(self),)

    __setitem__ = __delitem__ = __ior__ = _raise_immutable
    clear = pop = popitem = setdefault = update = _raise_immutable


class ResponseHead(Struct, frozen=True, kw_only=True):
    """Status and headers of a response, for logs and support tickets."""

    status: int = 200
    """The HTTP status."""
    headers: Headers = Headers()
    """Those that are kept: see `Headers`."""

    @property
    def request_id(self) -> str | None:
        """The id by which the server's operators find the request; `None` if it sent none."""
        return self.headers.request_id


class ErrorWithHead(Exception):
    """Base class of an error that keeps headers of the response it is about, also in copies and pickles of it."""

    _headers = Headers()

    @property
    def headers(self) -> Headers:
        """Headers of the response that the error, or else its `__cause__`, is about; see `Headers` for which."""
        cause = self.__cause__
        return cause.headers if not self._headers and isinstance(cause, ErrorWithHead) else self._headers

    @property
    def request_id(self) -> str | None:
        """The id by which the server's operators find the request that failed; `None` if the server sent none."""
        return self.headers.request_id

    def with_headers(self, received: Mapping[str, str]) -> Self:
        """Keep headers of a response, and return the error itself, as `with_traceback()` does."""
        self._headers = Headers(received)
        return self

    def __str__(self) -> str:
        text, request_id = super().__str__(), self.request_id
        # The text of a cause, with its id, can be part of this one.
        return text if request_id is None or request_id in text else f"{text} (request id {request_id})"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        # An exception is unpickled by calling its class with `args`, which fails for keyword-only arguments. Its cause
        # is not pickled, so the headers of that are.
        state = {**self.__dict__, "_headers": self.headers} if self.headers else self.__dict__
        return copyreg.__newobj__, (type(self), *self.args), state  # type: ignore[attr-defined]
