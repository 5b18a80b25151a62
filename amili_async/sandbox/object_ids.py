"""Ids as MongoDB makes them: the second of creation, a part that stays, and a count that goes up."""

from random import Random


class ObjectIdFactory:
    """Makes ids that ascend with their moment, and within one second with their turn."""

    def __init__(self, random: Random) -> None:
        self._fixed = random.getrandbits(40)
        self._count = random.getrandbits(16)

    def make(self, epoch_seconds: float) -> str:
        """An id created at that moment."""
        self._count = (self._count + 1) % 2**24
        return f"{int(epoch_seconds):08x}{self._fixed:010x}{self._count:06x}"


def random_id(random: Random, epoch_seconds: float) -> str:
    """An id of something outside the three resources: a creditor, a case, an account."""
    return f"{int(epoch_seconds):08x}{random.getrandbits(64):016x}"
