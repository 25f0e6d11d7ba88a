"""Scene graphs as sentences: one region and its neighbours (task 5), a whole chip (task 6)."""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Final

from longllava_domains.evaluate.fit_rsfg.complex.box_text import (
    OfficialBox,
    RaggedGroupError,
    is_usable,
    read_group,
)
from longllava_domains.evaluate.fit_rsfg.complex.labels import (
    OBJECT_NUMBER,
    RELATION_NUMBER,
    object_name,
    tidy,
    without_plural,
)
from longllava_domains.evaluate.fit_rsfg.complex.scene_graph import Triplet
from longllava_domains.evaluate.fit_rsfg.spans import between, first_between

REGION_BOX: Final[OfficialBox] = (50.0, 50.0, 20.0, 20.0, 0.0)
"""Stands for the region, whose own box is in the question and not in the answer."""

_SIZES: Final = ("small ", "medium ", "large ", "giant ")


@dataclass(frozen=True, slots=True)
class Naming:
    """Rules by which a protocol distinguishes classes and relations.

    Attributes:
        object: From the name in ``<ref>`` to what is compared.
        relation: From the name in ``<rel>`` to what is compared.
    """

    object: Callable[[str], Hashable]
    relation: Callable[[str], Hashable]


BY_NUMBER: Final = Naming(
    lambda name: OBJECT_NUMBER.get(name, -1), lambda name: RELATION_NUMBER.get(name, -1)
)
"""As officially: everything that is unknown is one class, and one relation."""

BY_NAME: Final = Naming(object_name, tidy)


@dataclass(frozen=True, slots=True)
class Link:
    """A relation between the region and one neighbour; `outward` when the region is the subject."""

    outward: bool
    relation: str
    neighbour: str
    box: OfficialBox


def region_links(text: str) -> Iterator[Link]:
    """Yield the neighbours that the sentences after the first give to the region.

    "It is <rel>..</rel> 1 <ref>..</ref> <rbox>..</rbox>" points outward, "... <rel>..</rel> it"
    inward. A sentence whose boxes have different lengths makes the official scorer crash; it
    yields nothing.
    """
    for sentence in _sentences(text)[1:]:
        outward = "it is" in sentence
        if not outward and "> it" not in sentence:
            continue
        try:
            boxes = read_group(first_between(sentence, "<rbox>", "</rbox>"))
        except RaggedGroupError:
            continue
        relation = first_between(sentence, "<rel>", "</rel>", default="background")
        name = first_between(sentence, "<ref>", "</ref>", default="background")
        if len(boxes) > 1:
            name = without_plural(name)
        for box in boxes:
            if is_usable(box):
                yield Link(outward, relation, name, box)


def region_triplets_official(text: str) -> list[Triplet]:
    """Return the region's triplets with the official fault in their order.

    Classes and boxes lie in one list, subject and object of each link in turn, but the links
    point into it as if the region stood once at its start. So from the second link on, a triplet
    carries the class and the box of another link, in truth and answer alike. The region's class
    is never read.
    """
    links = list(region_links(text))
    classes: list[Hashable] = []
    boxes: list[OfficialBox] = []
    for link in links:
        ends = [(-1, REGION_BOX), (BY_NUMBER.object(link.neighbour), link.box)]
        for label, box in ends if link.outward else reversed(ends):
            classes.append(label)
            boxes.append(box)
    triplets = []
    for index, link in enumerate(links, 1):
        subject, object_ = (0, index) if link.outward else (index, 0)
        triplets.append(
            Triplet(
                classes[subject],
                BY_NUMBER.relation(link.relation),
                classes[object_],
                boxes[subject],
                boxes[object_],
            )
        )
    return triplets


def region_triplets_strict(text: str, region: str) -> list[Triplet]:
    """Return the region's triplets as they are written, the region being of the class given."""
    triplets = []
    for link in region_links(text):
        neighbour = (BY_NAME.object(link.neighbour), link.box)
        subject, object_ = (
            ((region, REGION_BOX), neighbour) if link.outward else (neighbour, (region, REGION_BOX))
        )
        relation = BY_NAME.relation(link.relation)
        triplets.append(Triplet(subject[0], relation, object_[0], subject[1], object_[1]))
    return triplets


def region_class(text: str) -> str:
    """Return the class in "A clearly visible medium X on the right part of the image", else ""."""
    head = text.split(".", 1)[0].casefold()
    end = head.rfind(" part of the image")
    start = head.rfind(" on the ", 0, end) if end >= 0 else -1
    target = head[:start] if start >= 0 else ""
    for size in _SIZES:
        before, found, name = target.partition(size)
        if found and (not before or before.endswith(" ")):
            return object_name(name)
    return ""


@dataclass(frozen=True, slots=True)
class ChipGraph:
    """Graph that a text gives of a whole chip.

    Attributes:
        triplets: Edges of the scene graph.
        objects: Class and box of each object of the sentences without a relation.
        unread: Sentences on which the official scorer crashes; they count as unparsed.
    """

    triplets: list[Triplet]
    objects: list[tuple[Hashable, OfficialBox]]
    unread: int


def chip_graph(text: str, naming: Naming) -> ChipGraph:
    """Read the sentences of a chip: with a relation an edge or several, otherwise objects."""
    graph = ChipGraph([], [], 0)
    unread = 0
    for sentence in _sentences(text):
        try:
            if "<rel>" in sentence and any(True for _ in between(sentence, "<rel>", "</rel>")):
                graph.triplets.extend(_edges(sentence, naming))
            elif "<rbox>" in sentence:
                graph.objects.extend(_objects(sentence, naming))
        except ValueError:
            unread += 1
    return ChipGraph(graph.triplets, graph.objects, unread)


def _edges(sentence: str, naming: Naming) -> list[Triplet]:
    """Return an edge from each subject box to the one object box.

    Raises:
        ValueError: More than two names or groups, more than one object, or a ragged group.
    """
    relation = naming.relation(first_between(sentence, "<rel>", "</rel>"))
    names = list(between(sentence, "<ref>", "</ref>"))
    bodies = list(between(sentence, "<rbox>", "</rbox>"))
    if len(names) > 2 or len(bodies) > 2:
        raise ValueError("more than a subject and an object")
    names += ["background"] * (2 - len(names))
    if len(bodies) < 2:
        bodies += [""] * (2 - len(bodies))
    subject, object_ = (naming.object(without_plural(name)) for name in names)
    subjects, objects = read_group(bodies[0]), read_group(bodies[1])
    if len(objects) > 1:
        raise ValueError("more than one object box")
    if not objects or not is_usable(objects[0]):
        return []
    return [
        Triplet(subject, relation, object_, box, objects[0]) for box in subjects if is_usable(box)
    ]


def _objects(sentence: str, naming: Naming) -> list[tuple[Hashable, OfficialBox]]:
    name = first_between(sentence, "<ref>", "</ref>", default="background")
    label = naming.object(without_plural(name))
    body = first_between(sentence, "<rbox>", "</rbox>")
    return [(label, box) for box in read_group(body) if is_usable(box)]


def _sentences(text: str) -> list[str]:
    return [sentence.lower() for sentence in text.replace("\n", " ").split(". ")]
