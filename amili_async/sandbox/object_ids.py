"""MongoDB's ids: their type, and factories for them."""

from random import Random


class ObjectId(str):
    """Twenty-four lower-case hex digits of an id, never equal to the same text in a text field."""

    __slots__ = ()


class ObjectIdFactory:
    """Makes ids as MongoDB does: the second of creation, a fixed part, a counter. Later ids are larger."""

    def __init__(self, random: Random) -> None:
        self._fixed = random.getrandbits(40)
        self._count = random.getrandbits(16)

    def make(self, epoch_seconds: float) -> str:
        """An id created at that moment."""
        self._count = (self._count + 1) % 2**24
        return f"{int(epoch_seconds):08x}{self._fixed:010x}{self._count:06x}"


def random_id(random: Random, epoch_seconds: float) -> str:
    """An id of a document outside the three resources: a creditor, a case, an account."""
    return f"{int(epoch_seconds):08x}{random.getrandbits(64):016x}"
