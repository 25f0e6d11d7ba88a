"""Score whole archives: overnight, resumable, every item exactly once.

`manifest` lists what an archive holds; `engines` run a scorer over it; `results` keeps what came
out; `report` says how it went. Nothing here knows a model: a pipeline brings the scorer.
"""

from longllava_domains.archive.fingerprint import ScoringSpec, fingerprint
from longllava_domains.archive.item import Item, Shard
from longllava_domains.archive.outcome import Outcome
from longllava_domains.archive.scorer import FindingScore, Job, Scored, Scorer

__all__ = [
    "FindingScore",
    "Item",
    "Job",
    "Outcome",
    "Scored",
    "Scorer",
    "ScoringSpec",
    "Shard",
    "fingerprint",
]
