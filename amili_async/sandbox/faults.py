"""What goes wrong next: faults as values, and the plan that says which request each of them meets."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Literal, TypeAlias

import msgspec

from .answers import HTML, JSON, Answer, error_answer, html_page
from .errors import Refused
from .journal import ReceivedRequest

UNAVAILABLE = html_page(503, "Service Unavailable", "The server is temporarily unable to service your request.")


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that goes wrong with one request; by default nothing does.

    The fields combine where that makes sense: `Fault(delay=0.1, reset="after")`, or `Fault(cut=20, hang=True)` for a
    body that stops on its way. `Fault(hang=True, carried_out=True)` hangs after the fact.
    """

    status: int | None = None
    """Answered instead of the true answer."""
    body: bytes | str | Mapping[str, Any] | list[Any] | None = None
    """Sent with the status: a mapping or list as JSON, a text that begins with `<` as HTML. None: Eve's error body."""
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Added to the answer."""
    carried_out: bool = False
    """Whether the request is carried out although the status says otherwise, or although it then hangs."""
    reset: Literal["before", "after"] | None = None
    """The connection is reset, without a byte of answer, before or after the request is carried out."""
    cut: int | None = None
    """All of the answer is announced, this many bytes of its body are sent."""
    cut_head: int | None = None
    """Of the status line and the headers this many bytes are sent, and nothing after them."""
    hang: bool = False
    """Nothing (after a cut: nothing more) comes until the client goes away or the sandbox closes."""
    delay: float = 0.0
    """Seconds to wait before anything else happens; real ones, also where the sandbox has a clock of its own."""
    revoke: bool = False
    """Every access token given out so far stops working first."""

    def __post_init__(self) -> None:
        """Refuse what cannot happen together."""
        if self.reset and (self.status is not None or self.is_cut or self.hang):
            raise ValueError("a reset connection carries no answer")
        if self.status is None and self.body is not None:
            raise ValueError("a body needs a status")
        if self.status is None and self.carried_out and (self.is_cut or not self.hang):
            raise ValueError("carried_out needs a status or a hang; what is cut is a true answer anyway")
        if self.hang and not self.is_cut and self.status is not None:
            raise ValueError("a request that hangs has no status")
        if self.cut is not None and self.cut_head is not None:
            raise ValueError("an answer that carries no whole head carries no body")
        if min(self.delay, self.cut or 0, self.cut_head or 0) < 0:
            raise ValueError("neither delay nor a cut may be negative")

    @property
    def is_cut(self) -> bool:
        """Whether a part of the answer is sent."""
        return self.cut is not None or self.cut_head is not None

    @classmethod
    def too_many_requests(cls, *, retry_after: float | str | None = None) -> "Fault":
        """A 429; as bare as Eve's own unless *retry_after* (seconds, or an HTTP date) is given."""
        return cls(status=429, headers={} if retry_after is None else {"Retry-After": str(retry_after)})

    @classmethod
    def unavailable(cls, *, retry_after: float | str | None = None) -> "Fault":
        """A 503 with a gateway's page of HTML."""
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        return cls(status=503, body=UNAVAILABLE, headers=headers)

    @classmethod
    def server_error(cls, *, carried_out: bool = False) -> "Fault":
        """Eve's 500, a page of HTML; possibly after the request was carried out."""
        return cls(status=500, carried_out=carried_out)

    def answer(self) -> Answer | None:
        """What is answered instead of the true answer, if anything is."""
        if self.status is None:
            return None
        if self.body is None:
            return error_answer(Refused(self.status)) if self.status != 500 else Answer.broken()
        return Answer(status=self.status, body=_encode(self.body), content_type=_content_type(self.body))


def _encode(body: bytes | str | Mapping[str, Any] | list[Any]) -> bytes:
    if isinstance(body, bytes):
        return body
    return (body if isinstance(body, str) else json.dumps(body)).encode()


def _content_type(body: object) -> str:
    text = body.decode(errors="replace") if isinstance(body, bytes) else body
    return HTML if isinstance(text, str) and text.lstrip().startswith("<") else JSON


class _Planned(msgspec.Struct):
    fault: Fault
    times: int | None
    method: str | None
    path: str | None
    after: int

    def concerns(self, method: str, path: str) -> bool:
        return self.method in (None, method) and (self.path is None or _lies_under(path, self.path))


class FaultPlan:
    """The faults still to come. Each request meets at most one: the first planned of those that concern it."""

    def __init__(self) -> None:
        self._planned: list[_Planned] = []

    def add(self, fault: Fault, *, times: int | None, method: str | None, path: str | None, after: int) -> None:
        """Plan a fault for the *times* requests (None: for all) that follow the next *after* of its kind."""
        self._planned.append(_Planned(fault, times, method and method.upper(), path, after))

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        self._planned.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that this request meets. It is used up by it."""
        for planned in [each for each in self._planned if each.concerns(method, path)]:
            if planned.after > 0:
                planned.after -= 1
                continue
            self._use_up(planned)
            return planned.fault
        return None

    def _use_up(self, planned: _Planned) -> None:
        if planned.times is not None:
            planned.times -= 1
            if planned.times < 1:
                self._planned.remove(planned)


def _lies_under(path: str, place: str) -> bool:
    """A place with a leading slash is a prefix; one without is a resource."""
    if place.startswith("/"):
        return path.startswith(place)
    return path == f"/{place}" or path.startswith(f"/{place}/")


Meanwhile: TypeAlias = Callable[[ReceivedRequest], object]
FalseQuery: TypeAlias = Callable[[ReceivedRequest], Mapping[str, str]]
FalsePage: TypeAlias = Callable[[ReceivedRequest, dict[str, Any]], dict[str, Any]]


class Interference:
    """Carries requests out, with whatever is to happen meanwhile."""

    def __init__(self, answer: Callable[[ReceivedRequest, float], Answer]) -> None:
        self._answer = answer
        self.meanwhile: Meanwhile | None = None
        self.query: FalseQuery | None = None
        self.page: FalsePage | None = None

    def carry_out(self, request: ReceivedRequest, now: float) -> Answer:
        """Answer a request as it arrived, or as `override` changes it."""
        if self.meanwhile is not None:
            self.meanwhile(request)
        carried_out = request
        if self.query is not None and request.query:
            carried_out = msgspec.structs.replace(request, query=self.query(request))
        answer = self._answer(carried_out, now)
        if self.page is None or not answer.body.startswith(b'{"_items":'):
            return answer
        return _replace_page(answer, self.page(request, json.loads(answer.body, parse_float=Decimal)))


def _replace_page(answer: Answer, page: dict[str, Any]) -> Answer:
    """The answer with another page in it, which the header that repeats the total does not contradict."""
    total = page.get("_meta", {}).get("total")
    headers = {name: value for name, value in answer.headers.items() if name != "X-Total-Count"}
    return Answer.of(page, headers=headers if total is None else {**headers, "X-Total-Count": str(total)})
