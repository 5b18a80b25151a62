"""The requests that the sandbox received, with the status of each answer."""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace


class ReceivedRequest(Struct, frozen=True, kw_only=True):
    """One request and the outcome of it. Times are those of the sandbox's clock."""

    method: str
    path: str
    query: Mapping[str, str]
    """Decoded; the first value of a parameter that appears twice."""
    headers: Mapping[str, str]
    """Names in lower case. Not in the repr, because they hold the caller's credential."""
    body: bytes
    """Not in the repr, because it holds personal data."""
    received_at: float
    status: int | None = None
    """None while the request is open, and after it where no answer was sent."""
    sent_at: float | None = None
    """When the answer was passed to the network."""

    def __repr__(self) -> str:
        shown = ("method", "path", "query", "received_at", "status", "sent_at")
        return f"ReceivedRequest({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    __rich_repr__ = None  # type: ignore[assignment]  # rich would show what the repr leaves out


class Journal(list[ReceivedRequest]):
    """The requests in order of arrival. May be cleared at any time."""

    def record_answer(self, request: ReceivedRequest, *, status: int, sent_at: float) -> None:
        """Record the status of an answer, unless the journal has been cleared since."""
        # From the end, and by identity: the newest requests are the open ones, and equal requests are common.
        for place in range(len(self) - 1, -1, -1):
            if self[place] is request:
                self[place] = replace(request, status=status, sent_at=sent_at)
                return
