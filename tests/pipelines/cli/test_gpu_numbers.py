"""--devices: GPUs by number, or those that this process may use."""

import pytest
import torch

from longllava_domains.errors import PolicyError
from longllava_domains.pipelines.cli.options.devices import gpus_of


@pytest.mark.parametrize(
    ("text", "numbers"), [("", []), ("0,1", ["0", "1"]), (" 3, 5,", ["3", "5"])]
)
def test_numbers_are_taken_as_they_are(text: str, numbers: list[str]) -> None:
    assert gpus_of(text) == numbers


@pytest.mark.parametrize(
    ("given", "numbers"), [(None, ["0", "1"]), ("4,7", ["4", "7"]), ("", ["0", "1"])]
)
def test_all_means_the_gpus_that_a_scheduler_gave(
    given: str | None, numbers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if given is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert gpus_of("all") == numbers


def test_all_of_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(PolicyError):
        gpus_of("all")
