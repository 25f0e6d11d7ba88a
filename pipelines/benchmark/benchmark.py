"""`Benchmark`: a model asked about a benchmark on the disk, and its answers scored with their controls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from longllava_domains.arguments import checked, checked_fields
from longllava_domains.errors import LongLlavaError, PolicyError
from longllava_domains.evaluate import PROTOCOLS, Result
from longllava_domains.evaluate.dispatch import explain_settings, require_settings
from longllava_domains.evaluate.predictions.inputs import PROMPT_MISMATCH
from longllava_domains.evaluate.protocol import Protocol
from longllava_domains.evaluate.visual import score_beside
from longllava_domains.pipelines.benchmark.asking import DEFAULT_TOKENS, NOISE_TOKENS
from longllava_domains.pipelines.benchmark.generate import OnProgress, Replies, generate
from longllava_domains.pipelines.benchmark.material import Material
from longllava_domains.pipelines.benchmark.materials import read_material
from longllava_domains.pipelines.benchmark.outcome import (
    BenchmarkResult,
    make_folder,
    write_rows,
)
from longllava_domains.pipelines.benchmark.plan import BenchmarkPlan, named_protocols
from longllava_domains.pipelines.ct.calibration import Calibration
from longllava_domains.pipelines.loading import load
from longllava_domains.provenance import RESEARCH_NOTICE, UNTRAINED_NOTICE
from longllava_domains.vision_language import LoadOptions, VisionLanguageModel

SYNTHETIC_MARK: Final = "SYNTHETIC.txt"
"""A file of this name in a benchmark's folder says that its data are phantoms."""


@checked_fields
@dataclass(frozen=True)
class RunSettings:
    """The choices of a run beside model, benchmark and protocols.

    Attributes:
        max_new_tokens: Longest answer; None for the protocol's own.
        limit: Only the first N rows; the card then says so.
        controls: Make the blind and the shuffled run as well.
        seed: Of draws, of which other image is shown, and of the bootstrap.
        draws: Of the bootstrap.
        synthetic: The data are phantoms; a folder that says so itself is believed.
        scoring: Given to each protocol that has such a setting.
        calibration: File that `longllava calibrate` wrote for this model: says which findings come
            first, for the protocol of that name.

    Raises:
        PolicyError: A number is below what it can be.
    """

    max_new_tokens: int | None = None
    limit: int | None = None
    controls: bool = True
    seed: int = 0
    draws: int = 2000
    synthetic: bool = False
    scoring: Mapping[str, Any] = field(default_factory=dict)
    calibration: str | Path | None = None

    def __post_init__(self) -> None:
        least = {"max_new_tokens": 1, "limit": 1, "seed": 0, "draws": 0}
        for name, smallest in least.items():
            given = getattr(self, name)
            if given is not None and given < smallest:
                raise PolicyError(
                    f"{name} cannot be {given}.",
                    remedy=f"Give a whole number of at least {smallest}.",
                    code="benchmark.settings",
                )


class Benchmark:
    """Run a benchmark with a model and score it under named protocols. For research use only.

    Each distinct prompt is asked once, each image is read once for all of its questions, and each
    answer is kept as it comes: a run that was stopped goes on where it was.

    Args:
        model: A loaded model.

    Raises:
        PolicyError: The model is not loaded, such as its name.

    Example:
        >>> from longllava_domains import pipelines
        >>> run = pipelines.Benchmark.from_pretrained("demo")  # doctest: +SKIP
        >>> run("vqa-rad", "vqa_rad/", "out/", protocols=["llava-med"]).card  # doctest: +SKIP
    """

    @checked
    def __init__(self, model: VisionLanguageModel) -> None:
        self.model = model

    @classmethod
    @checked
    def from_pretrained(
        cls,
        model: str | Path,
        *,
        adapter: str | Path | None = None,
        tokenizer: str | Path | None = None,
        device: Any = None,
        dtype: Any = "auto",
        quantization: str | None = None,
        kv_cache_dtype: str = "auto",
    ) -> "Benchmark":
        """Load a model ("demo", a folder or a hub id) and make the pipeline.

        Raises:
            ModelError: The model cannot be loaded.
        """
        options = LoadOptions(adapter, tokenizer, device, dtype, quantization, kv_cache_dtype)
        return cls(load(model, options))

    @checked
    def __call__(
        self,
        benchmark: str,
        data: str | Path,
        output: str | Path,
        *,
        protocols: Sequence[str],
        settings: RunSettings | None = None,
        on_progress: OnProgress | None = None,
    ) -> BenchmarkResult:
        """Ask, keep, score, and write the cards.

        Args:
            benchmark: Name in `BENCHMARKS`.
            data: Folder of the benchmark as distributed.
            output: Folder for answers, prediction files and cards; made if need be. Answers of an
                earlier run of the same model on the same data are taken up.
            protocols: In whose words the questions are asked; the first is the card's own, and
                ``"all"`` means every one. The first one's answers are also scored under the
                protocols that are not named, and those results say so.
            settings: Other choices.
            on_progress: Called with (stage, done, total).

        Raises:
            PolicyError: No such benchmark, protocol or setting, or answers are missing and no
                policy for them was chosen.
            InputError: The data cannot be read.
            OutputError: The folder holds another run, or cannot be written.
        """
        plan, chosen = self._planned(benchmark, Path(data), protocols, settings or RunSettings())
        place = make_folder(output)
        replies = self._asked(plan, place, (0, 1), on_progress)
        results, skipped, files = self._scored(plan, replies, chosen, place)
        return BenchmarkResult.of(results, skipped, replies, place, files)

    def ask_share(
        self,
        benchmark: str,
        data: str | Path,
        output: str | Path,
        *,
        protocols: Sequence[str],
        settings: RunSettings | None = None,
        shard: tuple[int, int],
        on_progress: OnProgress | None = None,
    ) -> None:
        """Ask one share of the prompts and keep the answers; several processes may do so at once.

        Calling the pipeline with the same folder afterwards takes them up, asks what is left, and
        scores. Arguments and errors beside `shard` are those of `__call__`.

        Args:
            benchmark: As for `__call__`.
            data: As for `__call__`.
            output: As for `__call__`.
            protocols: As for `__call__`.
            settings: As for `__call__`.
            shard: (index from 0, count): the share of what is shown.
            on_progress: As for `__call__`.
        """
        plan, _ = self._planned(benchmark, Path(data), protocols, settings or RunSettings())
        self._asked(plan, make_folder(output), shard, on_progress)

    def _planned(
        self, benchmark: str, data: Path, protocols: Sequence[str], chosen: RunSettings
    ) -> tuple[BenchmarkPlan, RunSettings]:
        """Read the data, and say what is asked, and under which choices."""
        named = named_protocols(benchmark, protocols, calibrated=chosen.calibration is not None)
        require_settings(benchmark, named, chosen.scoring)
        if (data / SYNTHETIC_MARK).is_file():
            chosen = replace(chosen, synthetic=True)
        calibration = self._calibration(chosen.calibration)
        material = read_material(
            benchmark, data, chosen.limit, self.model.view_format, [each.name for each in named],
            calibration,
        )  # fmt: skip
        untrained = UNTRAINED_NOTICE in self.model.provenance.get("notices", ())
        plan = BenchmarkPlan(
            material, named, chosen.max_new_tokens, NOISE_TOKENS if untrained else DEFAULT_TOKENS,
            chosen.seed, chosen.controls,
        )  # fmt: skip
        return plan, chosen

    def _calibration(self, path: str | Path | None) -> Calibration | None:
        if path is None:
            return None
        from longllava_domains.pipelines.ct.findings_first import require_mode
        from longllava_domains.pipelines.ct.preset import CTPreset

        fitted = Calibration.from_file(path)
        require_mode("findings-first", fitted)
        made = self.model.provenance
        fitted.require_for(made["model_sha256"], CTPreset.named().name, made.get("adapter_sha256"))
        return fitted

    def _asked(
        self,
        plan: BenchmarkPlan,
        place: Path,
        shard: tuple[int, int],
        on_progress: OnProgress | None,
    ) -> Replies:
        return generate(
            self.model, plan.asks(), plan.material.show, place, self._key(plan.material),
            follow_ups=plan.follow_ups(), shard=shard, on_progress=on_progress,
        )  # fmt: skip

    def _key(self, material: Material) -> dict[str, Any]:
        """Say what a reply depends on beside the prompt."""
        made = self.model.provenance
        return {
            "benchmark": material.benchmark,
            "data": material.identity,
            "views": dict(material.views),
            **{name: made.get(name) for name in ("model_sha256", "adapter_sha256", "dtype",
                                                 "quantization", "kv_cache_dtype")},
        }  # fmt: skip

    def _scored(
        self, plan: BenchmarkPlan, replies: Replies, chosen: RunSettings, place: Path
    ) -> tuple[dict[str, Result], dict[str, str], dict[str, Path]]:
        """Score under every protocol: with its own words where it was asked, else with the first's."""
        benchmark = plan.material.benchmark
        asked = {protocol.name: protocol for protocol in plan.protocols}
        rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
        files = {}
        for name, protocol in asked.items():
            for run in plan.runs:
                rows[name, run] = plan.predictions(protocol, run, replies.found)
                files[f"{name}/{run}"] = write_rows(place, name, run, rows[name, run])
        first = plan.protocols[0]
        results, skipped = {}, {}
        for protocol in (*plan.protocols, *PROTOCOLS[benchmark].values()):
            if protocol.name in results:
                continue
            if protocol.findings_first and protocol.name not in asked:
                skipped[protocol.name] = "the answers were not written for findings that came first"
                continue
            source = protocol.name if protocol.name in asked else first.name
            controls = {run: rows[source, run] for run in plan.runs if run != "image"}
            known = {"synthetic", *explain_settings(protocol)}
            own = {
                k: v
                for k, v in {**chosen.scoring, "synthetic": chosen.synthetic}.items()
                if k in known
            }
            try:
                result = score_beside(
                    benchmark, rows[source, "image"], plan.material.references, controls,
                    protocol=protocol.name, draws=chosen.draws, seed=chosen.seed, **own,
                )  # fmt: skip
            except LongLlavaError as error:
                if protocol.name in asked:
                    raise
                skipped[protocol.name] = error.message
                continue
            results[protocol.name] = self._told(result, plan, protocol, asked, replies)
        return results, skipped, files

    def _told(
        self, result: Result, plan: BenchmarkPlan, protocol: Protocol, asked: Mapping[str, Protocol],
        replies: Replies,
    ) -> Result:  # fmt: skip
        """Return a result with the model, the run, and what must be said of both."""
        made = self.model.provenance
        first = plan.protocols[0]
        notes = [note for note in made.get("notices", ()) if note != RESEARCH_NOTICE]
        if made.get("demo") and UNTRAINED_NOTICE in notes:
            notes.append("the score of an untrained model shows that the run works, nothing else")
        if protocol.name not in asked:
            written = plan.material.questions
            other = sum(written(item, protocol) != written(item, first)
                        for item in plan.material.items)  # fmt: skip
            if other:
                notes.append(
                    f"{PROMPT_MISMATCH}: question text ({other} rows in the words of {first.label})"
                )
        if replies.failed:
            codes = ", ".join(sorted(set(replies.failed.values())))
            notes.append(f"{len(replies.failed)} inputs could not be shown ({codes})")
        names = ("model", "model_sha256", "adapter", "adapter_sha256", "dtype", "quantization",
                 "device", "demo", "trained")  # fmt: skip
        settings = {
            **result.settings,
            "model": {name: made.get(name) for name in names if made.get(name) is not None},
            "run": {
                "seed": plan.seed,
                "max_new_tokens": plan.max_new_tokens or plan.default_tokens,
                "prompts": dict((protocol if protocol.name in asked else first).prompts),
                "views": dict(plan.material.views),
                "asked": len(replies.found),
                "inputs_failed": len(replies.failed),
                **plan.material.counts,
            },
        }
        return replace(result, settings=settings, notes=(*notes, *result.notes)).with_notes(
            *plan.material.notes
        )
