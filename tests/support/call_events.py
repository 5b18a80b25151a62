"""An observer that checks that the events of calls fit together."""

from collections import Counter

from amili_async import Event
from amili_async.events import AttemptFinished, AttemptStarted, CallEvent, CallFinished, CallStarted


class Recorder:
    """An observer that keeps all events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def check(self) -> None:
        """Each call and each attempt that started has finished once, and nothing of a call is outside it."""
        open_calls: Counter[int] = Counter()
        open_attempts: Counter[int] = Counter()
        seen: set[int] = set()
        for event in self.events:
            if isinstance(event, CallStarted):
                assert event.call not in seen
                seen.add(event.call)
                open_calls[event.call] += 1
            elif isinstance(event, CallEvent):
                assert open_calls[event.call] == 1
                open_attempts[event.call] += isinstance(event, AttemptStarted) - isinstance(event, AttemptFinished)
                assert open_attempts[event.call] in {0, 1}
                open_calls[event.call] -= isinstance(event, CallFinished)
        assert not +open_calls
        assert not +open_attempts
