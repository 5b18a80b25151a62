"""Every record exactly once: extract, resume from a checkpoint, or continue from an earlier extraction."""

from amili_async.extraction.checkpoint import Checkpoint, Manifest, Verdict
from amili_async.extraction.extraction import Extraction
from amili_async.extraction.parts import Part, Split
from amili_async.extraction.source import Plan, Since

__all__ = ["Checkpoint", "Extraction", "Manifest", "Part", "Plan", "Since", "Split", "Verdict"]
