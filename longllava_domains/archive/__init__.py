"""Score whole archives: overnight, resumable, every item exactly once.

`manifest` lists what an archive holds; `engines` run a scorer over it; `results` keeps what came
out; `report` says how it went. Nothing here knows a model: a pipeline brings the scorer.
"""

from longllava_domains.archive.engines.local import run_local
from longllava_domains.archive.engines.prediction import Prediction, in_time, predict
from longllava_domains.archive.engines.ray import run_ray
from longllava_domains.archive.engines.settings import Progress, Settings
from longllava_domains.archive.fingerprint import ScoringSpec
from longllava_domains.archive.item import Item, Shard
from longllava_domains.archive.manifest.idc import IdcPlan, plan_idc
from longllava_domains.archive.manifest.item_files import dicom_files, open_ct
from longllava_domains.archive.manifest.lookup import Origin, forget, where
from longllava_domains.archive.manifest.manifest import Manifest
from longllava_domains.archive.manifest.scan import ScanSummary, scan_archive
from longllava_domains.archive.manifest.secret import SiteSecret
from longllava_domains.archive.outcome import Outcome
from longllava_domains.archive.report.markdown import report_markdown
from longllava_domains.archive.report.metrics import write_metrics
from longllava_domains.archive.report.summary import RunSummary, drift, summarize
from longllava_domains.archive.report.write import write_reports
from longllava_domains.archive.results.upkeep import Forgotten, counts, retry
from longllava_domains.archive.scorer import BatchScorer, FindingScore, Job, Scored, Scorer

__all__ = [
    "BatchScorer",
    "FindingScore",
    "Forgotten",
    "IdcPlan",
    "Item",
    "Job",
    "Manifest",
    "Origin",
    "Outcome",
    "Prediction",
    "Progress",
    "RunSummary",
    "ScanSummary",
    "Scored",
    "Scorer",
    "ScoringSpec",
    "Settings",
    "Shard",
    "SiteSecret",
    "counts",
    "dicom_files",
    "drift",
    "forget",
    "in_time",
    "open_ct",
    "plan_idc",
    "predict",
    "report_markdown",
    "retry",
    "run_local",
    "run_ray",
    "scan_archive",
    "summarize",
    "where",
    "write_metrics",
    "write_reports",
]


def __dir__() -> list[str]:
    return list(__all__)
