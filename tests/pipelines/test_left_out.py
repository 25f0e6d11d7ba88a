"""What was not shown is told with its reason."""

import re
from pathlib import Path

import pytest

from longllava_domains.pipelines.left_out import left_out_text

PACKAGE = Path(__file__).parents[2] / "longllava_domains"
# Where a loader counts what it leaves out: by name, or through `_count` and `_thin` of CT.
COUNTED = re.compile(r'left_out\[f?"([a-z_]+)|left_out, "([a-z_]+)"')


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({}, "nothing"),
        ({"spacing": 20}, "20 (between the slices shown)"),
        (
            {"background": 1_204, "over_budget.random": 3},
            "1,204 (background), 3 (above the budget)",
        ),
        ({"new_reason": 1}, "1 (new reason)"),
    ],
)
def test_what_was_left_out_is_told_in_words(counts: dict[str, int], text: str) -> None:
    assert left_out_text(counts) == text


def test_every_reason_that_a_loader_counts_has_words_of_its_own() -> None:
    sources = [path.read_text() for path in PACKAGE.glob("*/views/*.py")]
    found = {one or other for text in sources for one, other in COUNTED.findall(text)}
    assert {"spacing", "background", "native_tiles_averaged"} <= found
    own = {code for code in found if code.replace("_", " ") not in left_out_text({code: 1})}
    assert found - own <= {"background", "damaged"}
