"""`Domain`: one kind of input, and everything that pipelines do differently for it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from longllava_domains.errors import PolicyError
from longllava_domains.pipelines.domains.evidence import Claim, Evidence
from longllava_domains.provenance import Provenance
from longllava_domains.vision_language import Sampling, ViewFormat, VisionLanguageModel
from longllava_domains.visual import VisualSequence

OnProgress = Callable[[str, int, int], None]


class Told(Protocol):
    """Answer of a domain: an `Answer`, or a result of its own that says as much."""

    @property
    def text(self) -> str:
        """The words of the model."""
        ...

    @property
    def provenance(self) -> Provenance:
        """Record of how the answer was made."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON, with the research notice."""
        ...


class Domain(Protocol):
    """One kind of input: how it is recognised, opened, shown and asked about.

    Another package adds one of its own through the entry-point group
    ``longllava_domains.domains``; the entry point names an object of this shape.
    """

    @property
    def name(self) -> str:
        """The word for ``--domain``, such as ``"remote_sensing"``."""
        ...

    @property
    def noun(self) -> str:
        """The name of one input in sentences, such as ``"a raster"``."""
        ...

    @property
    def settings(self) -> type[Any]:
        """A frozen dataclass of what a user may set; every field has a default."""
        ...

    def recognises(self, evidence: Evidence) -> Claim:
        """Return how surely an input that says this of itself is of this domain."""
        ...

    def open(self, sources: Sequence[str], settings: Any) -> AbstractContextManager[Any]:
        """Open an input; geometry and units are proved, or it is refused.

        Args:
            sources: One path or link; several where a domain compares them in one question.
            settings: An object of the type `settings`.

        Raises:
            InputError: It cannot be read.
            PolicyError: Several, in a domain that takes one.
        """
        ...

    def policy(self, settings: Any, view_format: ViewFormat | None) -> Any:
        """Return which views are shown: the domain's default, changed by what the user set.

        Args:
            settings: An object of the type `settings`.
            view_format: Of the model that looks; None where nobody but a person will.

        Raises:
            PolicyError: The settings cannot be followed.
        """
        ...

    def to_sequence(self, opened: Any, policy: Any) -> VisualSequence:
        """Show an open input.

        Raises:
            InputError: The pixels cannot be read.
            PolicyError: The policy cannot be followed.
        """
        ...

    def memory_remedy(self, opened: Any, policy: Any) -> AbstractContextManager[None]:
        """Let refusals for want of memory name the setting of this domain that fits."""
        ...

    def ask(
        self,
        model: VisionLanguageModel,
        opened: Any,
        question: str,
        policy: Any,
        *,
        max_new_tokens: int,
        sampling: Sampling | None,
        on_progress: OnProgress | None,
    ) -> Told:
        """Ask one question of an open input, as the domain's pipeline asks it.

        Raises:
            MemoryBudgetError: The views do not fit; the remedy names a setting that does.
            ModelError: The model cannot run on it.
        """
        ...


def only_one(sources: Sequence[str], noun: str) -> str:
    """Return the one source of a domain that takes one.

    Raises:
        PolicyError: There are several.
    """
    if len(sources) != 1:
        raise PolicyError(
            f"{len(sources)} inputs were given, and {noun} is asked about alone.",
            remedy="Ask about each of them; a question of several words stands in quotes.",
            code="domain.several",
        )
    return sources[0]
