"""An Amili in the process, for demos, users' own tests and ours: `async with Sandbox() as sandbox`."""

from .faults import Fault
from .journal import ReceivedRequest
from .limits import AMILI_LIMITS, RateWindow
from .server import Sandbox

__all__ = ["AMILI_LIMITS", "Fault", "RateWindow", "ReceivedRequest", "Sandbox"]
