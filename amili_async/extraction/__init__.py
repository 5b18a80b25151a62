"""Every record exactly once: extracting, resuming, and going on from where an earlier extraction ended."""

from amili_async.extraction.checkpoint import Checkpoint, Manifest, Verdict
from amili_async.extraction.extraction import Extraction
from amili_async.extraction.planning import Plan

__all__ = ["Checkpoint", "Extraction", "Manifest", "Plan", "Verdict"]
