"""`HeldOutRows`: answers of a network being trained to rows that it is not trained on, and their score.

Answers are generated greedily from the very ids that training uses, up to the last answer, and
scored by the same code as prediction files. A few rows show a trend and prove nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np
import torch
from transformers import TrainerCallback

from longllava_domains.adapters.data.batch import Loaded, pack
from longllava_domains.adapters.data.encode import Encoded, Encoder
from longllava_domains.adapters.data.sample import RowError, Sample
from longllava_domains.adapters.data.training_data import TrainingData
from longllava_domains.adapters.training.loss import LossHead, summed_loss
from longllava_domains.errors import LongLlavaError
from longllava_domains.evaluate import score
from longllava_domains.model import LongLlavaForConditionalGeneration
from longllava_domains.model.network.preprocess import pixel_values
from longllava_domains.prompt.training import IGNORED

# Data set -> benchmark whose strict protocol scores its answers one by one.
SCORED: Final = {"VQA-RAD": "vqa-rad", "PathVQA": "path-vqa", "FIT-RS": "fit-rsfg/vqa"}
PROTOCOL: Final = "strict"


@dataclass(frozen=True)
class Measured:
    """Figures measured on one held-out set.

    Attributes:
        data: Name of the data set.
        benchmark: Benchmark and protocol, empty where no protocol of ours scores it.
        rows: Rows that it was measured on.
        metrics: Name -> value; ``loss`` is nats a learned token, the rest fractions. Empty where no
            row could be read.
        unread: Rows that could not be read, such as those of a damaged picture.
    """

    data: str
    benchmark: str
    rows: int
    metrics: dict[str, float]
    unread: int = 0


class HeldOutRows:
    """The first usable rows of some held-out sets.

    Args:
        network: The network that is trained, without what wraps it.
        head: Its head, from `prepare_loss`.
        encoder: Makes ids, as for training.
        sets: The data sets.
        rows: The most rows of each.
        max_new_tokens: Longest answer that is generated.
        answers: Generate and score answers, too; otherwise the loss alone.
    """

    def __init__(
        self,
        network: LongLlavaForConditionalGeneration,
        head: LossHead,
        encoder: Encoder,
        sets: Sequence[TrainingData],
        *,
        rows: int = 64,
        max_new_tokens: int = 64,
        answers: bool = True,
    ) -> None:
        self.network, self.head, self.encoder = network, head, encoder
        self.max_new_tokens, self.answers = max_new_tokens, answers
        self.sets = [(data.name, list(islice(_samples(data), rows))) for data in sets]

    def measure(self) -> list[Measured]:
        """Measure every set; the network is left as it was."""
        training = self.network.training
        self.network.eval()
        try:
            with torch.no_grad():
                return [self._measure(name, samples) for name, samples in self.sets]
        finally:
            self.network.train(training)

    def _measure(self, name: str, samples: Sequence[Sample]) -> Measured:
        summed, learned, unread = 0.0, 0, 0
        rows: list[dict[str, Any]] = []
        for number, sample in enumerate(samples):
            try:
                loaded = _loaded(sample, self.encoder)
            except (LongLlavaError, RowError):
                unread += 1
                continue
            summed += float(summed_loss(self.network, self.head, _placed(loaded, self.network)))
            learned += loaded.encoded.learned
            if self.answers and name in SCORED:
                rows.append(self._row(number, sample, loaded))
        metrics = {"loss": summed / learned} if learned else {}
        if not rows:
            return Measured(name, "", len(samples) - unread, metrics, unread)
        found = score(SCORED[name], rows, protocol=PROTOCOL)
        return Measured(
            name, f"{SCORED[name]} {PROTOCOL}", len(rows), metrics | dict(found.metrics), unread
        )

    def _row(self, number: int, sample: Sample, loaded: Loaded) -> dict[str, Any]:
        """Return a prediction row as the benchmarks' files have them."""
        question, truth = sample.rounds[-1]
        said = self._answer(loaded)
        return {
            "question_id": number, "image_id": str(number), "question": question,
            "answer_type": sample.facts.get("answer_type", ""),
            "category": sample.facts.get("task", "all"),
            "prediction": said, "ground_truth": truth,
        }  # fmt: skip

    def _answer(self, loaded: Loaded) -> str:
        prompt = _up_to_last_answer(loaded.encoded)
        device = self.network.input_device
        pixels = loaded.pixels.to(device) if len(loaded.pixels) else None
        ids = torch.tensor([prompt], device=device)
        made = self.network.generate(
            ids, pixel_values=pixels, attention_mask=torch.ones_like(ids), do_sample=False,
            max_new_tokens=self.max_new_tokens, use_cache=True,
        )  # fmt: skip
        return self.encoder.tokenizer.decode(made[0, len(prompt) :].tolist()).strip()


class Evaluation(TrainerCallback):
    """Measures held-out sets after a number of steps each time, and once at the end.

    Args:
        held_out: The sets.
        every_steps: Steps between measurements; 0 measures at the end alone.
        trainer: Logs the figures.
        speaks: Whether this process logs.
    """

    def __init__(
        self, held_out: HeldOutRows, every_steps: int, trainer: Any, *, speaks: bool = True
    ) -> None:
        self.held_out, self.every_steps, self.trainer = held_out, every_steps, trainer
        self.speaks = speaks
        self.latest: tuple[Measured, ...] = ()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Measure where it is time."""
        if self.every_steps and state.global_step % self.every_steps == 0:
            logs = control.should_log
            self._measure()
            control.should_log = logs  # logging takes it back, and the step has figures of its own

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Measure the result."""
        self._measure()

    def _measure(self) -> None:
        with self.trainer.accelerator.autocast():
            self.latest = tuple(self.held_out.measure())
        if self.speaks:
            self.trainer.log(
                {
                    f"held_out/{one.data}/{name}": value
                    for one in self.latest
                    for name, value in one.metrics.items()
                }
            )


def _samples(data: TrainingData) -> Any:
    for _, sample in data:
        if isinstance(sample, Sample) and all(picture.is_there() for picture in sample.pictures):
            yield sample


def _loaded(sample: Sample, encoder: Encoder) -> Loaded:
    views = [view for picture in sample.pictures for view in picture.load()]
    return Loaded(encoder.encode(sample), pixel_values(views, encoder.config.view_px))


def _placed(loaded: Loaded, network: LongLlavaForConditionalGeneration) -> dict[str, torch.Tensor]:
    row = pack([loaded])
    return {name: value.to(network.input_device) for name, value in row.items()}


def _up_to_last_answer(encoded: Encoded) -> list[int]:
    """Return the ids in front of the last learned run."""
    learned = np.array(encoded.labels) != IGNORED
    end = int(np.flatnonzero(learned)[-1])
    silent = np.flatnonzero(~learned[: end + 1])
    return encoded.input_ids[: int(silent[-1]) + 1]
