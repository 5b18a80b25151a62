"""Failures on request: faults as values, the plan of which request each applies to, and overridden answers."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from .answers import HTML, JSON, Answer, HttpError, ServerCrash, html_page
from .journal import ReceivedRequest

UNAVAILABLE = html_page(503, "Service Unavailable", "The server is temporarily unable to service your request.")


class Fault(Struct, frozen=True, kw_only=True):
    """One failure of one request; without arguments nothing fails.

    The fields combine: `Fault(delay=0.1, reset="after")`, or `Fault(cut=20, hang=True)` for a body that stops in the
    middle while the connection stays open. `Fault(hang=True, carried_out=True)` hangs after the request is carried out.
    """

    status: int | None = None
    """Sent instead of the true status."""
    body: bytes | str | Mapping[str, Any] | list[Any] | None = None
    """Sent with the status: a mapping or list as JSON, a text that begins with `<` as HTML. None: Eve's error body."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Added to the answer."""
    carried_out: bool = False
    """Whether the request is carried out before the false status is sent, or before the request hangs."""
    reset: Literal["before", "after"] | None = None
    """The connection is reset, without a byte of answer, before or after the request is carried out."""
    cut: int | None = None
    """Bytes of the body that are sent, after headers that announce all of it."""
    cut_head: int | None = None
    """Bytes of the status line and headers that are sent, and nothing after them."""
    hang: bool = False
    """Nothing (after a cut: nothing more) is sent until the client disconnects or the sandbox closes."""
    delay: float = 0.0
    """Seconds to wait before anything else happens, in real time even where the sandbox has its own clock."""
    revoke: bool = False
    """Every access token issued so far is revoked first."""

    def __post_init__(self) -> None:
        if self.reset and (self.status is not None or self.is_cut or self.hang):
            raise ValueError(f"reset={self.reset!r} sends no answer, so status, cut, cut_head and hang must be absent")
        if self.status is None and self.body is not None:
            raise ValueError("body needs a status")
        if self.status is None and self.carried_out and (self.is_cut or not self.hang):
            raise ValueError("carried_out needs a status or hang; an answer that is cut off is a true one anyway")
        if self.hang and not self.is_cut and self.status is not None:
            raise ValueError("hang without a cut sends no answer, so status must be absent")
        if self.cut is not None and self.cut_head is not None:
            raise ValueError("cut and cut_head exclude each other: without a whole head no body is sent")
        if min(self.delay, self.cut or 0, self.cut_head or 0) < 0:
            raise ValueError("delay, cut and cut_head must not be negative")

    @property
    def is_cut(self) -> bool:
        """Whether a part of the answer is sent."""
        return self.cut is not None or self.cut_head is not None

    @classmethod
    def too_many_requests(cls, *, retry_after: float | str | None = None) -> "Fault":
        """A 429 without headers, as Eve 2.3 sends it, unless *retry_after* (seconds, or an HTTP date) is given."""
        return cls(status=429, headers={} if retry_after is None else {"Retry-After": str(retry_after)})

    @classmethod
    def unavailable(cls, *, retry_after: float | str | None = None) -> "Fault":
        """A 503 with a gateway's page of HTML."""
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        return cls(status=503, body=UNAVAILABLE, headers=headers)

    @classmethod
    def server_error(cls, *, carried_out: bool = False) -> "Fault":
        """Eve's 500, a page of HTML; possibly after the request is carried out."""
        return cls(status=500, carried_out=carried_out)

    def answer(self) -> Answer | None:
        """The false answer, or None where the true one is sent."""
        if self.status is None:
            return None
        if self.body is None:
            return HttpError(self.status).answer() if self.status != 500 else ServerCrash().answer()
        text = self.body if isinstance(self.body, bytes | str) else json.dumps(self.body)
        body = text.encode() if isinstance(text, str) else text
        return Answer(status=self.status, body=body, content_type=HTML if body.lstrip().startswith(b"<") else JSON)


class PlannedFault(Struct):
    """A fault for *times* matching requests (None: for all), after the next *after* of them."""

    fault: Fault
    times: int | None
    method: str | None
    path: str | None
    after: int

    def applies_to(self, method: str, path: str) -> bool:
        """Whether a request matches. A path with a leading slash is a prefix; one without is a resource."""
        if self.path is None or self.path.startswith("/"):
            return self.method in (None, method) and path.startswith(self.path or "")
        return self.method in (None, method) and f"{path}/".startswith(f"/{self.path}/")


class FaultPlan(list[PlannedFault]):
    """The planned faults. At most one applies to a request: the first planned of those that match it."""

    def next_fault(self, method: str, path: str) -> Fault | None:
        """The fault of this request, which counts as one of its *times*."""
        for planned in [each for each in self if each.applies_to(method, path)]:
            if planned.after > 0:
                planned.after -= 1
                continue
            if planned.times is not None:
                planned.times -= 1
                if planned.times < 1:
                    self.remove(planned)
            return planned.fault
        return None


BeforeRequest: TypeAlias = Callable[[ReceivedRequest], object]
QueryOverride: TypeAlias = Callable[[ReceivedRequest], Mapping[str, str]]
PageOverride: TypeAlias = Callable[[ReceivedRequest, dict[str, Any]], dict[str, Any]]


class Overrides:
    """Carries requests out, with the callbacks of a test before and around each."""

    def __init__(self, answer: Callable[[ReceivedRequest, float], Answer]) -> None:
        self._answer = answer
        self.before_each_request: BeforeRequest | None = None
        self.query: QueryOverride | None = None
        self.page: PageOverride | None = None

    def carry_out(self, request: ReceivedRequest, now: float) -> Answer:
        """The answer to a request, with its query and its page overridden."""
        if self.before_each_request is not None:
            self.before_each_request(request)
        carried_out = request
        if self.query is not None and request.query:
            carried_out = replace(request, query=self.query(request))
        answer = self._answer(carried_out, now)
        if self.page is None or not answer.body.startswith(b'{"_items":'):
            return answer
        page = self.page(request, json.loads(answer.body, parse_float=Decimal))
        # X-Total-Count repeats `_meta.total`, so it must follow the overridden page.
        total = page.get("_meta", {}).get("total")
        headers = {name: value for name, value in answer.headers.items() if name != "X-Total-Count"}
        return Answer.of(page, headers=headers if total is None else {**headers, "X-Total-Count": str(total)})
