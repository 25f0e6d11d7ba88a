"""Content of evaluation sets, so that training rows can be compared with it.

Images are compared by their bytes, because the same image has other names in other data sets;
only those whose size occurs in an evaluation set are hashed.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from longllava_domains.adapters.data.sample import RowError, Sample
from longllava_domains.adapters.data.training_data import TrainingData
from longllava_domains.prompt.layouts import MARKER

Overlap = Literal["sample", "group", "image", "none"]

_Key = tuple[tuple[str, ...], str, str]


@dataclass
class Evaluated:
    """Images, questions with their answers, and patients of evaluation sets.

    Attributes:
        sizes: Bytes of their images.
        images: SHA-256 of their images.
        samples: (images, question, answer) of each of their rounds.
        groups: Their patients, or whatever must not stand on both sides.
    """

    sizes: set[int] = field(default_factory=set)
    images: set[str] = field(default_factory=set)
    samples: set[_Key] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, sets: Iterable[TrainingData]) -> "Evaluated":
        """Go through evaluation sets; rows that make no sample are passed over."""
        found = cls()
        for data in sets:
            for _, sample in data:
                if not isinstance(sample, RowError):
                    found._add(sample)
        return found

    def overlap(self, sample: Sample) -> Overlap:
        """Say what a training sample shares with the evaluation sets, the worst first."""
        if sample.group and sample.group in self.groups:
            return "group"
        if not self.samples:
            return "none"
        images = tuple(
            picture.sha256() if picture.size_bytes() in self.sizes else ""
            for picture in sample.pictures
        )
        if any(key in self.samples for key in _keys(sample, images)):
            return "sample"
        return "image" if any(image in self.images for image in images) else "none"

    def _add(self, sample: Sample) -> None:
        if sample.group:  # says more than its images, which may be volumes of gigabytes
            self.groups.add(sample.group)
            return
        there = [picture for picture in sample.pictures if picture.is_there()]
        images = tuple(picture.sha256() for picture in there)
        self.sizes.update(picture.size_bytes() for picture in there)
        self.images.update(images)
        self.samples.update(_keys(sample, images))


def _keys(sample: Sample, images: tuple[str, ...]) -> list[_Key]:
    return [(images, _plain(question), _plain(answer)) for question, answer in sample.rounds]


def _plain(text: str) -> str:
    """Return a text without tags, case, punctuation at its ends and runs of space."""
    bare = re.sub(r"\s+", " ", text.replace(MARKER, " ")).strip()
    return bare.strip(" .?!").lower()
