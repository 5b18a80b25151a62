"""An observer that counts events, responses and errors."""

from collections import Counter

from amili_async.events import AttemptFinished, Event


class CountEvents:
    """Counts events by name, responses by status, bytes and seconds; its attributes may be read at any time."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        """Number of events, by name."""
        self.statuses: Counter[int] = Counter()
        """Number of responses, by HTTP status."""
        self.errors: Counter[str] = Counter()
        """Number of attempts without a response, by the name of the error class."""
        self.size = 0
        """Bytes: length of all decompressed bodies."""
        self.seconds = 0.0
        """Seconds: duration of all attempts, which may have overlapped."""

    @property
    def requests(self) -> int:
        """Number of attempts, token requests and retries included."""
        return self.events["AttemptFinished"]

    def __call__(self, event: Event) -> None:
        self.events[type(event).__name__] += 1
        if isinstance(event, AttemptFinished):
            self.size += event.size
            self.seconds += event.seconds
            if event.status is not None:
                self.statuses[event.status] += 1
            if event.error is not None:
                self.errors[event.error] += 1
