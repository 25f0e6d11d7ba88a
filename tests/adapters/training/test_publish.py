"""Nothing is published without its card, its licence and the notice."""

from pathlib import Path

import pytest
from huggingface_hub.errors import HfHubHTTPError

from longllava_domains.adapters.training.publish import publish
from longllava_domains.errors import NetworkError, NotFoundError, PolicyError
from longllava_domains.pipelines.cli.main import run
from longllava_domains.provenance import RESEARCH_NOTICE

CARD = f"""---
library_name: "peft"
license: "cc-by-nc-sa-4.0"
tags: ["longllava"]
---

# own-lora

**{RESEARCH_NOTICE}**

## Data

- mine
"""


class Hub:
    """Takes what it is given."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.asked: list[tuple[str, dict]] = []
        self.fault = fault

    def create_repo(self, name: str, **how: object) -> None:
        self.asked.append((name, how))

    def upload_folder(self, **how: object) -> str:
        if self.fault:
            raise self.fault
        self.asked.append((str(how["repo_id"]), how))
        return "https://hub/commit/1"


@pytest.fixture
def result(tmp_path: Path) -> Path:
    (tmp_path / "adapter_model.safetensors").write_bytes(b"x")
    (tmp_path / "README.md").write_text(CARD)
    (tmp_path / "recipe.json").write_text("{}")
    (tmp_path / "checkpoint-3").mkdir()
    return tmp_path


def test_a_result_with_its_card_is_uploaded_private_and_without_checkpoints(result: Path) -> None:
    hub = Hub()
    assert publish(result, "me/mine", hub=hub) == "https://hub/commit/1"
    assert hub.asked[0] == ("me/mine", {"private": True, "exist_ok": True})
    assert "checkpoint-*" in hub.asked[1][1]["ignore_patterns"]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('license: "cc-by-nc-sa-4.0"\n', "", "publish.card"),
        ("cc-by-nc-sa-4.0", "other", "publish.licence"),
        (RESEARCH_NOTICE, "", "publish.card"),
        ("## Data", "## Nothing", "publish.card"),
        (CARD, "", "publish.card"),
    ],
)
def test_a_card_that_lacks_something_is_refused(
    result: Path, old: str, new: str, code: str
) -> None:
    (result / "README.md").write_text(CARD.replace(old, new))
    hub = Hub()
    with pytest.raises(PolicyError) as caught:
        publish(result, "me/mine", hub=hub)
    assert (caught.value.code, hub.asked) == (code, [])


def test_what_is_no_result_is_refused(result: Path, tmp_path: Path) -> None:
    (result / "recipe.json").unlink()
    with pytest.raises(PolicyError, match="has not ended"):
        publish(result, "me/mine", hub=Hub())
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError):
        publish(tmp_path / "empty", "me/mine", hub=Hub())
    assert run(["publish", str(tmp_path / "empty"), "me/mine"]) == 2


def test_a_hub_that_refuses_is_our_error(result: Path) -> None:
    with pytest.raises(NetworkError, match="did not take"):
        publish(result, "me/mine", hub=Hub(OSError("no")))
    assert issubclass(HfHubHTTPError, OSError)
