"""What the sandbox remembers of the requests it got."""

from collections.abc import Mapping

import msgspec


class ReceivedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request and what came of it. Times are those of the sandbox's clock."""

    method: str
    path: str
    query: Mapping[str, str]
    """Decoded; of a parameter given twice the first."""
    headers: Mapping[str, str]
    """Names in lower case. Holds the caller's credential, hence not in the repr."""
    body: bytes
    """Not in the repr: it names a debtor's case."""
    received_at: float
    status: int | None = None
    """None while it is open, and for good where no answer was sent."""
    sent_at: float | None = None
    """When the answer was handed to the network."""

    def __repr__(self) -> str:
        shown = ("method", "path", "query", "received_at", "status", "sent_at")
        return f"ReceivedRequest({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    __rich_repr__ = None  # type: ignore[assignment]  # rich would show what repr leaves out


class Journal(list[ReceivedRequest]):
    """The requests in the order of their arrival. May be cleared at any time."""

    def note_answer(self, request: ReceivedRequest, *, status: int, sent_at: float) -> ReceivedRequest:
        """Write down what was answered, unless the journal has been cleared since."""
        answered = msgspec.structs.replace(request, status=status, sent_at=sent_at)
        for place in range(len(self) - 1, -1, -1):
            if self[place] is request:
                self[place] = answered
                break
        return answered
