"""Jobs that score, ask or show the items of an archive, and what a run of them will take."""

from longllava_domains.pipelines.archive.job import archive_job
from longllava_domains.pipelines.archive.task import ARCHIVE_TASKS, ArchiveTask

__all__ = ["ARCHIVE_TASKS", "ArchiveTask", "archive_job"]
