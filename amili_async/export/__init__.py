"""Records into files: `.ndjson`, `.csv` and `.parquet`, whole or not at all, and resumable."""

from amili_async.export.columns import fields_of
from amili_async.export.exported import Exported, Progress
from amili_async.export.exporting import export
from amili_async.export.formats import FORMATS

__all__ = ["FORMATS", "Exported", "Progress", "export", "fields_of"]
