"""What the sandbox remembers of the requests it got."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedRequest:
    """One request and what came of it. Times are those of the sandbox's clock."""

    method: str
    path: str
    query: Mapping[str, str]
    """Decoded; of a parameter given twice the first."""
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case. Holds the caller's credential, hence not in the repr."""
    body: bytes = field(repr=False)
    received_at: float
    status: int | None = None
    """None while it is open, and for good where no answer was sent."""
    sent_at: float | None = None
    """When the answer was handed to the network."""


class Journal(list[ReceivedRequest]):
    """The requests in the order of their arrival. May be cleared at any time."""

    def note_answer(self, request: ReceivedRequest, *, status: int, sent_at: float) -> ReceivedRequest:
        """Write down what was answered, unless the journal has been cleared since."""
        answered = replace(request, status=status, sent_at=sent_at)
        for place in range(len(self) - 1, -1, -1):
            if self[place] is request:
                self[place] = answered
                break
        return answered
