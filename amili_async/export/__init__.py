"""Records into files: `.ndjson` and `.csv`, whole or not at all."""

from amili_async.export.exporting import Exported, Progress, export
from amili_async.export.writers import WRITERS, fields_of

__all__ = ["WRITERS", "Exported", "Progress", "export", "fields_of"]
