"""An item as its domain opens it, and the views that a model gets of it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from longllava_domains.archive import Item, open_ct
from longllava_domains.archive.manifest.item_files import local_source
from longllava_domains.pipelines.ct.preset import CTPreset
from longllava_domains.pipelines.ct.reading import ShownCT, showable, shown_ct
from longllava_domains.pipelines.domains.registry import domains, settings_for
from longllava_domains.vision_language import ViewFormat
from longllava_domains.visual import VisualSequence

# A contact sheet of more is no picture any more.
_MOST_ON_A_SHEET = 60


@dataclass(frozen=True)
class ShownItem:
    """Views of an item for a model.

    Attributes:
        sequence: The views.
        lead: What a question begins with, such as where north is; empty for most items.
        origin: Of a slide: the level-0 corner that QuPath counts from.
    """

    sequence: VisualSequence
    lead: str = ""
    origin: tuple[int, int] = (0, 0)


@contextmanager
def opened(item: Item, settings: Any) -> Iterator[Any]:
    """Open an item as its domain does.

    Raises:
        InputError: It cannot be read, or not be proved to be what it claims.
        NetworkError: Its source cannot be reached.
    """
    if item.domain == "ct" and (item.members or "://" not in item.uri):
        yield open_ct(item, repair=settings.repair, hu=settings.hu)
        return
    domain = domains()[item.domain]
    in_place = item.uri.startswith(("http://", "https://", "s3://")) and not item.members
    if item.domain == "remote_sensing" and in_place:
        with domain.open([item.uri], settings) as scene:  # read in place, a block at a time
            yield scene
        return
    with local_source(item) as source, domain.open([source], settings) as content:
        yield content


@dataclass(frozen=True)
class ShowItem:
    """Open an item and choose its views: the `prepare` of ``ask`` and ``views``.

    Attributes:
        settings: Of the item's domain, by name.
        view_format: Of the model that looks; None for a person.
    """

    settings: Mapping[str, Any]
    view_format: ViewFormat | None

    def __call__(self, item: Item) -> ShownItem:
        """Return what is shown of an item."""
        domain = domains()[item.domain]
        settings = settings_for(domain, self.settings)
        if self.view_format is None and getattr(settings, "max_views", 0) is None:
            settings = replace(settings, max_views=_MOST_ON_A_SHEET)
        with opened(item, settings) as content:
            sequence = domain.to_sequence(content, domain.policy(settings, self.view_format))
            compass = getattr(content, "compass", None)
            bounds = getattr(content, "bounds", None)
        turned = compass is not None and not compass.is_north_up
        origin = (0, 0) if bounds is None else (bounds.x, bounds.y)
        return ShownItem(sequence, str(compass) if turned else "", origin)


@dataclass(frozen=True)
class ShowCT:
    """Open a CT and choose the views of a report: the `prepare` of reports and findings.

    Attributes:
        settings: Of a CT, by name.
        preset: Slices and windows, by name.
        view_px: Longer side of a view.
    """

    settings: Mapping[str, Any]
    preset: str
    view_px: int

    def __call__(self, item: Item) -> ShownCT:
        """Return what is shown of a CT."""
        settings = settings_for(domains()["ct"], self.settings)
        policy = CTPreset.named(self.preset).policy(self.view_px, spacing_mm=settings.spacing_mm)
        with opened(item, settings) as volume:
            return shown_ct(volume, showable(volume, policy))
