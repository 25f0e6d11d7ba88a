"""`MixPart`: one data set of a mixture that a recipe trains on, by name and count."""

from dataclasses import dataclass, replace
from typing import Final

from longllava_domains.adapters.data.many_views.sub_images import SubImages
from longllava_domains.adapters.data.sample import Sample
from longllava_domains.adapters.data.training_data import TrainingData


@dataclass(frozen=True)
class MixPart:
    """One data set.

    Attributes:
        name: What the paper calls it; also the name of its folder or file on disk.
        count: Rows taken at random from it; None takes all there are.
        layout: How it is read, see `open_data`.
        sub_images: Show each image whole and in parts of 336 pixels.
    """

    name: str
    count: int | None = None
    layout: str = "llava"
    sub_images: bool = False

    def shown(self, data: TrainingData) -> TrainingData:
        """Return the data set as it is shown in this mixture, under its name in it."""
        if not self.sub_images:
            return replace(data, name=self.name)

        def convert(row: object, key: str) -> Sample:
            sample = data.convert(row, key)
            return replace(sample, pictures=tuple(SubImages(one) for one in sample.pictures))

        return replace(data, name=self.name, convert=convert)


PAPER: Final = "LongLLaVA paper (arXiv 2409.02889), table of training data"
# The paper gives one total for several sets of a stage; how it divides is not published.
TEXT: Final = (MixPart("evol-instruct"), MixPart("wildchat"), MixPart("longalign"))
TEXT_ROWS: Final = 278_000
ALIGN: Final = (MixPart("allava-caption"), MixPart("sharegpt4v"))
ALIGN_ROWS: Final = 600_000
SINGLE: Final = (MixPart("llava-1.5"), MixPart("mantis-single"))
SINGLE_ROWS: Final = 932_000
MULTI: Final = (
    MixPart("mantis", 200_000),
    MixPart("videochat2", 200_000),
    MixPart("sharegpt4video", 50_000),
)
REPLAY_IMAGES: Final = 200_000
REPLAY_TEXT: Final = 50_000
SUB_IMAGES: Final = MixPart("sub-image", 50_000, sub_images=True)


def replay(images: int = REPLAY_IMAGES, text: int = REPLAY_TEXT) -> tuple[MixPart, ...]:
    """Return the parts that keep earlier stages in mind: single images, and text alone."""
    parts = (MixPart("replay-single-image", images), MixPart("replay-text", text))
    return tuple(part for part in parts if part.count)
