"""Names are found or refused with the list, and every choice is stamped into the result."""

import subprocess
import sys
from typing import Any

import ct_rate_predictions
import pytest

from longllava_domains import evaluate
from longllava_domains.errors import PolicyError

PREDICTIONS, LABELS = ct_rate_predictions.make(5)


def score(**given) -> Any:
    return evaluate.score("ct-rate", PREDICTIONS, LABELS, **given)


@pytest.mark.parametrize(
    ("given", "listed"),
    [
        ({"protocol": "ctclip"}, "ct-clip@a2a155c6"),
        ({"protocol": "ct-clip@other"}, "ct-clip@a2a155c6"),
        ({"protocol": "ct-clip", "treshold": 1}, "unit"),
    ],
)
def test_unknown_names_are_refused_with_the_list(given, listed: str) -> None:
    with pytest.raises(PolicyError) as caught:
        score(**given)
    assert listed in caught.value.remedy


def test_an_unknown_benchmark_is_refused_with_the_list() -> None:
    with pytest.raises(PolicyError, match="ct-rate"):
        evaluate.score("ctrate", PREDICTIONS, LABELS, protocol="vlm3d")


def test_every_choice_is_stamped_defaults_included() -> None:
    found = score(protocol="vlm3d", unit="scan")
    assert found.protocol == "vlm3d@25f9c7bd"
    assert found.settings["unit"] == "scan"
    assert found.settings["missing"] is None
    assert found.settings["reconstruction"] == "first"
    assert found.settings["synthetic"] is False


def test_synthetic_data_never_bear_the_benchmarks_name_alone() -> None:
    found = score(protocol="vlm3d", synthetic=True)
    assert found.benchmark == "SYNTHETIC ct-rate"
    assert "SYNTHETIC" in found.to_markdown()


def test_a_version_may_be_named() -> None:
    assert score(protocol="vlm3d@25f9c7bd").metrics == score(protocol="vlm3d").metrics


def test_scoring_imports_no_model() -> None:
    script = (
        "import sys; from longllava_domains import evaluate\n"
        "print([name for name in ('torch', 'transformers', 'pandas', 'pyarrow', 'sklearn') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert out.stdout.strip() == "[]"
