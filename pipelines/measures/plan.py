"""`MeasurePlan`: one measure as it was asked for, which a process of its own can make, too."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from longllava_domains.pipelines.benchmark.generate import OnProgress
from longllava_domains.pipelines.loading import load
from longllava_domains.pipelines.measures.needle import needle_trials
from longllava_domains.pipelines.measures.scaling import scaling_trials
from longllava_domains.pipelines.measures.trials import Trial, run_trials
from longllava_domains.vision_language import LoadOptions, ViewFormat

NEEDLE: Final = "needle"


@dataclass(frozen=True)
class MeasurePlan:
    """One measure.

    Attributes:
        measure: `NEEDLE`, or a curve of `scaling.CURVES`.
        points: Frames, sub-images or shots.
        depths: Of the needle; none for a curve.
        seed: Of generated data.
        data: Folder of the user's own; None for generated data.
    """

    measure: str
    points: tuple[int, ...]
    depths: tuple[float, ...] = ()
    seed: int = 0
    data: Path | None = None

    @property
    def made(self) -> str:
        """Whose the data are, as cards say it."""
        return "generated" if self.data is None else "the user's own"

    @property
    def key(self) -> Mapping[str, Any]:
        """Mark of the measure in the files of answers."""
        return {"measure": self.measure, "data": self.made, "seed": self.seed}

    def trials(self, view_format: ViewFormat, folder: Path) -> list[Trial]:
        """Return the trials.

        Args:
            view_format: Of the model that looks.
            folder: For generated images.

        Raises:
            PolicyError: A point or a depth that cannot be.
            InputError: The user's data cannot be read.
        """
        if self.measure == NEEDLE:
            return needle_trials(
                self.points, self.depths, view_px=view_format.view_px, seed=self.seed,
                data=self.data,
            )  # fmt: skip
        return scaling_trials(
            self.measure, self.points, view_format, folder, seed=self.seed, data=self.data
        )


@dataclass(frozen=True)
class SharedMeasure:
    """Measure whose trials are shared out over processes, see `SharedWork`.

    Attributes:
        model: ``"demo"``, a folder or a hub id.
        loading: How it is loaded, in each process.
        plan: What is measured.
        output: Folder for the answers; it is there.
    """

    model: str
    loading: LoadOptions
    plan: MeasurePlan
    output: Path

    def ask_share(self, shard: tuple[int, int], on_progress: OnProgress) -> None:
        """Ask one share of the trials and keep the answers."""
        model = load(self.model, self.loading)
        trials = self.plan.trials(model.view_format, self.output)
        run_trials(model, trials, self.output, self.plan.key, shard=shard, on_progress=on_progress)
