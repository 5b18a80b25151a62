"""Every error class of the package, for tests that must leave none out."""

import inspect
from typing import Any

from amili_async import errors
from amili_async.errors import AmiliError

ERROR_CLASSES: list[Any] = [
    kind for kind in vars(errors).values() if inspect.isclass(kind) and kind.__module__ == errors.__name__
]
ABSTRACT = {AmiliError, errors.PaymentError}
"""The classes that are raised only as a subclass."""
