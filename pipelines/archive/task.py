"""The task of an archive run, checked before the first item is opened."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from longllava_domains.errors import PolicyError
from longllava_domains.vision_language import LoadOptions

# Task -> the domains that it is for.
TASKS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "ct-findings": ("ct",),
        "ct-report": ("ct",),
        "ask": ("ct", "pathology", "remote_sensing"),
        "find": ("remote_sensing",),
        "views": ("ct", "pathology", "remote_sensing"),
    }
)
ARCHIVE_TASKS: Final = tuple(TASKS)
# Tasks whose items can be scored together.
TOGETHER: Final = ("ct-findings", "ct-report", "ask")
# Task -> the files that it can write for an item.
FILES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "ct-findings": ("json", "sr", "fhir"),
        "ct-report": ("json", "sr", "fhir"),
        "ask": ("json", "geojson"),
        "find": ("geojson", "gpkg", "json"),
        "views": ("png",),
    }
)
# Files that take patient and study from the source's headers.
OF_PATIENTS: Final = ("sr", "fhir")
_QUESTIONS: Final = ("ask", "find")


@dataclass(frozen=True)
class ArchiveTask:
    """Task for every item of an archive.

    Attributes:
        task: One of `ARCHIVE_TASKS`.
        model: ``"demo"``, a folder or a hub id; None only for ``"views"``.
        loading: How it is loaded.
        question: What is asked (``"ask"``), or what is looked for (``"find"``), such as ``"ship"``.
        preset: Slices, windows and prompts of a CT, by name.
        settings: Settings of the items' domain, such as ``{"spacing_mm": 5.0}``.
        max_new_tokens: Longest answer to a question.
        files: Kinds of file to write for each item, see `FILES`.
        output: Folder of the results; needed for files.
        documents: Folder for files that name patients (``"sr"``, ``"fhir"``), apart from the
            results.
        allow_demo: Let the demonstration model write such documents (tests only).

    Raises:
        PolicyError: There is no such task, or it lacks what it needs.
    """

    task: str
    model: str | None
    loading: LoadOptions = field(default_factory=LoadOptions)
    question: str = ""
    preset: str = "ct-default@1"
    settings: Mapping[str, Any] = field(default_factory=dict)
    max_new_tokens: int = 256
    files: tuple[str, ...] = ()
    output: Path | None = None
    documents: Path | None = None
    allow_demo: bool = False

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise _refusal("There is no such task for archives.", _one_of(TASKS), "archive.task")
        if bool(self.question.strip()) != (self.task in _QUESTIONS):
            asks = self.task in _QUESTIONS
            if asks:
                message = "The question is missing."
                remedy = 'Use --question "..." with ask, and with find for what to look for.'
            else:
                message = f"The task {self.task} takes no question."
                remedy = "Leave out --question; to ask it of every item, use --task ask."
            raise _refusal(message, remedy, "archive.question")
        if self.model is None and self.task != "views":
            raise _refusal("This task needs a model.", "Name one with --model.", "cli.model")
        self._check_files()

    def _check_files(self) -> None:
        able = FILES[self.task]
        if not set(self.files) <= set(able):
            raise _refusal("This task writes no such file.", _one_of(able), "archive.files")
        if (self.files or self.task in ("find", "views")) and self.output is None:
            raise _refusal("Files need a folder.", "Name the results.", "archive.files")
        if not set(self.files) & set(OF_PATIENTS):
            return
        if self.model == "demo" and not self.allow_demo:
            raise _refusal(
                "A result of the demonstration model cannot become a clinical document.",
                "Leave out sr and fhir, or name a real model.",
                "export.demo",
            )
        assert self.output is not None
        if self.documents is None or self.documents.resolve().is_relative_to(self.output.resolve()):
            raise _refusal(
                "SR and FHIR documents name patients, and results do not.",
                "Name a folder outside the results with --documents.",
                "archive.documents",
            )

    def require_for(self, domain: str) -> None:
        """Refuse a manifest of another domain.

        Raises:
            PolicyError: The task, or a file that it shall write, is not for this domain.
        """
        if domain not in TASKS[self.task]:
            raise _refusal(
                f"The task {self.task} is not for items of the domain {domain}.",
                f"Use one of {', '.join(task for task, able in TASKS.items() if domain in able)}.",
                "archive.task",
            )
        if self.task == "ask" and "geojson" in self.files and domain != "pathology":
            raise _refusal(
                "Of an answer GeoJSON is written for slides alone: it holds the views of QuPath.",
                "Use --files json.",
                "archive.files",
            )


def _one_of(names: Any) -> str:
    return f"Use one of {', '.join(names)}."


def _refusal(message: str, remedy: str, code: str) -> PolicyError:
    return PolicyError(message, remedy=remedy, code=code)
