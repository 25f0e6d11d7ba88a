"""Our model as lmms-eval asks one. Imported by lmms-eval only: it needs that package.

lmms-eval --model longllava_domains --model_args pretrained=FOLDER --tasks ...
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from lmms_eval.api.model import lmms

from longllava_domains.pipelines.loading import load
from longllava_domains.vision_language import LoadOptions, Sampling
from longllava_domains.visual import ImagePlace, View, VisualSequence


class LongLlavaLmms(lmms):
    """A model of this package behind lmms-eval's interface.

    Args:
        pretrained: ``"demo"``, a folder or a hub id.
        adapter: As for `load_model`.
        device: As for `load_model`.
        dtype: As for `load_model`.
        quantization: As for `load_model`.
        max_new_tokens: Longest answer where the task does not say.
        batch_size: Accepted and not used: answers are made one by one.
    """

    is_simple = True

    def __init__(
        self,
        pretrained: str = "demo",
        adapter: str | None = None,
        device: str | None = None,
        dtype: str = "auto",
        quantization: str | None = None,
        max_new_tokens: int = 256,
        batch_size: int | str = 1,
        **_: Any,
    ) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.max_new_tokens = int(max_new_tokens)
        self.model = load(pretrained, LoadOptions(adapter, None, device, dtype, quantization))

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Answer requests, one text for each, in order."""
        texts = []
        for request in requests:
            context, how, doc_to_visual, doc_id, task, split = request.args
            sequence = shown(doc_to_visual(self.task_dict[task][split][doc_id]))
            answer = self.model.answer(
                sequence,
                context,
                max_new_tokens=int(how.get("max_new_tokens") or self.max_new_tokens),
                sampling=sampling_of(how),
            )
            texts.append(cut(answer.text, how.get("until")))
        return texts

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Return the log-probability of each continuation; greediness is not measured."""
        found = []
        for request in requests:
            context, doc_to_target, doc_to_visual, doc_id, task, split = request.args
            doc = self.task_dict[task][split][doc_id]
            target = doc_to_target if isinstance(doc_to_target, str) else doc_to_target(doc)
            with self.model.open(shown(doc_to_visual(doc))) as session:
                (score,) = session.score(context, [target])
            found.append((score.sum_logprob, False))
        return found

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Refuse tasks of several rounds, which are not built."""
        raise NotImplementedError("tasks of several rounds are not built")


def shown(visuals: Any) -> VisualSequence | None:
    """Return pictures as a sequence of one view each, None where there are none.

    Args:
        visuals: PIL images, or None.
    """
    views = []
    for image in visuals or ():
        pixels = np.asarray(image.convert("RGB"))
        views.append(View(pixels, ImagePlace(pixels.shape[1], pixels.shape[0])))
    return VisualSequence(tuple(views)) if views else None


def sampling_of(how: Mapping[str, Any]) -> Sampling | None:
    """Return how tokens are drawn; None where the task is greedy."""
    temperature = float(how.get("temperature") or 0)
    if temperature == 0 or how.get("do_sample") is False:
        return None
    return Sampling(temperature, float(how.get("top_p") or 1.0))


def cut(text: str, until: Any) -> str:
    """Return a text up to the first of some stops."""
    stops = [until] if isinstance(until, str) else list(until or ())
    for stop in stops:
        text = text.partition(stop)[0] if stop else text
    return text.strip()
