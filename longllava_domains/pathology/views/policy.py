"""Amount of a slide that the model sees, at which resolution, by which named protocol."""

import json
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, get_args

from longllava_domains.arguments import checked_fields
from longllava_domains.errors import PolicyError
from longllava_domains.pathology.mpp import LARGEST_MPP, LEAST_MPP
from longllava_domains.units import content_hash

Protocol = Literal["joint-lowmag@1", "native-tiles@1", "thumbnail@1", "vote-patches@1"]
Drop = Literal["tissue", "diversity"]

# 40,960 tokens that LongLLaVA was trained on, less 1,024 for question and answer; a view takes
# 144 tokens, 6 of tags, and at most one line break.
TRAINED_VIEWS: Final = 264
# The patches of published votes: 20x.
VOTE_MPP: Final = 0.5
_MOST_OVERLAP: Final = 0.75


@checked_fields
@dataclass(frozen=True)
class TilePolicy:
    """Choice of the views of a slide.

    Attributes:
        protocol: ``"joint-lowmag@1"``: a global view, then large fields in rows, at the finest
            resolution that fits the budget. ``"native-tiles@1"``: fields with tissue at native
            resolution. ``"thumbnail@1"``: one view. ``"vote-patches@1"``: patches spread over the
            tissue, to be asked one by one, for comparison.
        mpp: Finest resolution wanted, microns per pixel; by default the slide's own (0.5 or
            coarser for votes). ``joint-lowmag@1`` goes coarser where the budget asks for it.
        view_px: Side of a view.
        overlap: Share of a field that its neighbour shows too, 0 to 0.75.
        tissue_min: Least share of tissue in a field; rows and columns of a joint grid are left
            out where no field of theirs has it.
        max_views: Budget of views.
        drop: Which fields go where single fields are too many: those with least ``"tissue"``,
            or those most like others (``"diversity"``, by colour and place on the overview).
    """

    protocol: Protocol = "joint-lowmag@1"
    mpp: float | None = None
    view_px: int = 336
    overlap: float = 0.0
    tissue_min: float = 0.05
    max_views: int = TRAINED_VIEWS
    drop: Drop = "tissue"

    @property
    def uses_tissue(self) -> bool:
        """True if fields are chosen by where tissue is."""
        return self.protocol != "thumbnail@1"

    def __post_init__(self) -> None:
        least = 2 if self.protocol == "joint-lowmag@1" else 1
        rules = {
            "protocol": (
                self.protocol in get_args(Protocol), f"one of {', '.join(get_args(Protocol))}"
            ),
            "drop": (self.drop in get_args(Drop), f"one of {', '.join(get_args(Drop))}"),
            "mpp": (
                self.mpp is None or _number(self.mpp, LEAST_MPP, 100 * LARGEST_MPP),
                f"from {LEAST_MPP:g} to {100 * LARGEST_MPP:g} microns per pixel",
            ),
            "view_px": (_whole(self.view_px, 8), "a whole number of at least 8"),
            "overlap": (
                _number(self.overlap, 0, _MOST_OVERLAP), f"a share from 0 to {_MOST_OVERLAP}"
            ),
            "tissue_min": (_number(self.tissue_min, 0, 1), "a share from 0 to 1"),
            "max_views": (_whole(self.max_views, least), f"a whole number of at least {least}"),
        }  # fmt: skip
        for name, (holds, wanted) in rules.items():
            if not holds:
                raise PolicyError(
                    f"The policy cannot be followed: {name} must be {wanted}, "
                    f"not {getattr(self, name)}.",
                    remedy="See TilePolicy for what each setting takes.",
                    code="slide.policy",
                )

    def within_views(self, views: int) -> "TilePolicy":
        """Return the policy with a smaller budget of views."""
        return replace(self, max_views=min(views, self.max_views))

    def to_json(self) -> dict[str, Any]:
        """Return the policy as JSON, with the SHA-256 of its settings."""
        settings = {name: getattr(self, name) for name in self.__dataclass_fields__}
        spelled = json.dumps(settings, sort_keys=True).encode()
        return settings | {"sha256": content_hash([spelled])}


def _number(value: object, least: float, most: float) -> bool:
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    return good and least <= value <= most  # type: ignore[operator]


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
