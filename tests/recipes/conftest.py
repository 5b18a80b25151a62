"""The sandbox of the recipes, as a user's tests have it."""

from amili_async.testing import amili_clock, amili_sandbox

__all__ = ["amili_clock", "amili_sandbox"]
