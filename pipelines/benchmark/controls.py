"""Runs without the right image: blind, and shown another one."""

import random
from collections.abc import Mapping, Sequence

from longllava_domains.pipelines.benchmark.material import Item


def other_images(items: Sequence[Item], seed: int) -> Mapping[str, str]:
    """Give each item the image of another group: no patient's own, and each image about as often.

    Args:
        items: Of a benchmark.
        seed: Of the order in which groups follow each other.

    Returns:
        Id of an item -> name of what it is shown; empty where there is one group only.
    """
    groups: dict[str, list[str]] = {}
    for item in items:
        shown = groups.setdefault(item.group, [])
        if item.shown not in shown:
            shown.append(item.shown)
    if len(groups) < 2:
        return {}
    order = sorted(groups)
    random.Random(seed).shuffle(order)  # noqa: S311 - no secret
    after = dict(zip(order, (*order[1:], order[0]), strict=True))
    return {
        item.id: groups[after[item.group]][
            groups[item.group].index(item.shown) % len(groups[after[item.group]])
        ]
        for item in items
    }
