"""The rows that a fresh sandbox holds: made up, but exact to the öre and equal for equal seeds."""

from .books import SeedData

__all__ = ["SeedData"]
