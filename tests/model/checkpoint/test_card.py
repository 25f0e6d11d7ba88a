"""The tags of a model's card name the domains that it was taught."""

from pathlib import Path

import pytest

from longllava_domains.model.checkpoint.card import card_domains


@pytest.mark.parametrize(
    ("card", "domains"),
    [
        ('---\ntags: ["longllava", "whole-slide-image"]\n---\n# A', ["pathology"]),
        (
            "---\nlicense: mit\ntags:\n- CT\n  - histopathology\nbase_model: a\n---\n",
            ["ct", "pathology"],
        ),
        ('---\r\ntags: ["remote-sensing"]\r\n---\r\n', ["remote_sensing"]),
        ("# A model\n\ntags: [pathology]\n", []),  # not in front
        ("---\nlicense: mit\n---\npathology\n", []),
        ("", []),
    ],
)
def test_only_the_tags_in_front_count(tmp_path: Path, card: str, domains: list[str]) -> None:
    (tmp_path / "README.md").write_bytes(card.encode())
    assert card_domains(tmp_path, None) == domains


def test_no_card_names_nothing_and_an_adapters_card_counts(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter/README.md").write_text("---\ntags: [pathology]\n---\n")
    assert card_domains(tmp_path / "base") == []
    assert card_domains(tmp_path / "base", tmp_path / "adapter") == ["pathology"]
