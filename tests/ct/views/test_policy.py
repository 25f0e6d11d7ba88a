"""A policy says what it means, refuses contradictions and survives JSON."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longllava_domains.ct.views.policy import SlicePolicy
from longllava_domains.ct.views.windows import LUNG, MEDGEMMA_15, MEDIASTINUM, PRESETS, Window
from longllava_domains.errors import PolicyError
from longllava_domains.provenance import Provenance

positive = st.floats(0.1, 100)
choices: dict[str, st.SearchStrategy[Any]] = {
    "windows": st.lists(st.sampled_from([*PRESETS, "header", "400/40"]), min_size=1, unique=True),
    "max_views": st.none() | st.integers(20, 500),
    "z_range_mm": st.none() | st.tuples(st.floats(-900, 0), st.floats(1, 900)),
    "body_crop": st.booleans(),
    "view_px": st.none() | st.integers(1, 1024),
    "layout": st.sampled_from(["images", "temporal"]),
    "kernel": st.sampled_from([None, "soft", "sharp"]),
}


@settings(deadline=None, max_examples=80)
@given(
    fields=st.fixed_dictionaries({}, optional=choices),
    rule=st.fixed_dictionaries({"spacing_mm": positive})
    | st.fixed_dictionaries(
        {"count": st.integers(1, 900), "sampling": st.sampled_from(["uniform", "medgemma"])}
    )
    | st.just({}),
    slab=st.just({})
    | st.fixed_dictionaries({"slab_mm": positive, "slab": st.sampled_from(["mean", "mip"])}),
)
def test_a_policy_survives_json_and_provenance(
    fields: dict[str, Any], rule: dict[str, Any], slab: dict[str, Any]
) -> None:
    policy = SlicePolicy(**fields, **rule, **slab)
    assert SlicePolicy.from_json(json.loads(json.dumps(policy.to_json()))) == policy
    recorded = Provenance(policy=policy.to_json())["policy"]
    assert SlicePolicy.from_json(recorded) == policy
    assert hash(policy) == hash(SlicePolicy.from_json(recorded))


def test_one_window_needs_no_list() -> None:
    assert SlicePolicy(windows=LUNG).windows == (LUNG,)
    assert SlicePolicy(windows="lung").windows == (LUNG,)
    assert SlicePolicy(windows=MEDGEMMA_15).windows == (MEDGEMMA_15,)
    assert SlicePolicy().windows == (MEDIASTINUM,)
    assert SlicePolicy(windows=["80/40", "header"]).windows == (Window("w80_l40", 40, 80), "header")


@pytest.mark.parametrize(
    "fields",
    [
        {"windows": ()},
        {"windows": ("lung", LUNG)},
        {"windows": "lungs"},
        {"spacing_mm": 3.0, "count": 20},
        {"spacing_mm": 0},
        {"spacing_mm": float("nan")},
        {"count": 0},
        {"count": 2.5},
        {"count": True},
        {"max_views": 1, "windows": ("lung", "bone")},
        {"view_px": -1},
        {"view_px": 100_000},
        {"slab_mm": -3},
        {"slab": "median"},
        {"sampling": "random"},
        {"z_range_mm": (10, 10)},
        {"z_range_mm": (float("inf"), 10)},
        {"layout": "grid"},
        {"kernel": "B30f"},
    ],
)
def test_contradictions_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(PolicyError):
        SlicePolicy(**fields)


def test_unknown_json_fields_are_refused() -> None:
    with pytest.raises(PolicyError):
        SlicePolicy.from_json({"slices": 3})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("spacing_mm", "30"), ("slab_mm", "5"), ("slab_mm", [5]), ("count", "20"),
        ("max_views", "20"), ("view_px", "336"), ("z_range_mm", "ab"), ("z_range_mm", ("0", "9")),
        ("z_range_mm", (0, None)), ("z_range_mm", (1, 2, 3)), ("z_range_mm", 5),
    ],
)  # fmt: skip
def test_what_is_no_number_is_refused_under_the_name_of_its_field(field: str, value: Any) -> None:
    with pytest.raises(PolicyError, match=f"The argument {field} is ") as caught:
        SlicePolicy(**{field: value})
    assert caught.value.code == "argument.kind"
