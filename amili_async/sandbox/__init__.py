"""An Amili API in the process, for demos, tests of users and tests of this package: `async with Sandbox() as sandbox`.

Invariant: this folder shares no code with the client, so that a mistake in one cannot hide in the other. Relative
imports mark it: inside the folder every import is relative or third-party, and none leads out of it. The class library
is the same as in the rest of the package, msgspec, because that is no code of the client.

A request passes `http` (socket, rate limit, faults), `endpoints` (routes), and for a list `store`, which reads `where`
with `filters` and `sort` with `paging`. `seeding` makes the rows; `journal` records each request. Behaviour follows Eve
2.3, which the API is built on; `tests/integration/test_held_to_eve.py` compares the two.
"""

from .faults import Fault
from .journal import ReceivedRequest
from .limits import AMILI_LIMITS, RateWindow
from .server import Sandbox

__all__ = ["AMILI_LIMITS", "Fault", "RateWindow", "ReceivedRequest", "Sandbox"]
