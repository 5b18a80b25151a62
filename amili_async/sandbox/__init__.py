"""An Amili in the process, for demos, users' own tests and ours: `async with Sandbox() as sandbox`."""

from .faults import Fault
from .limits import AMILI_LIMITS, RateWindow
from .received import ReceivedRequest
from .server import Sandbox

__all__ = ["AMILI_LIMITS", "Fault", "RateWindow", "ReceivedRequest", "Sandbox"]
