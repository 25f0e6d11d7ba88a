"""The faster products are used where they are right, put back, and refused where they round."""

from typing import Any, Never

import pytest
import torch
from torch import nn

from longllava_domains.model.kernels import cpu_matmul
from longllava_domains.model.kernels.cpu_matmul import ProductProbe, fast_products, probe_products


def setting() -> str:
    return torch.backends.mkldnn.matmul.fp32_precision


def test_the_probe_measures_and_leaves_the_setting_alone() -> None:
    before = setting()
    probe = probe_products()
    assert setting() == before
    assert probe.error < 1e-2
    assert probe.worth_it == (probe.error <= 3e-6 and probe.speedup >= 1.1)


@pytest.mark.parametrize(
    ("probe", "used"),
    [
        (ProductProbe(speedup=2.0, error=5e-7), True),
        (ProductProbe(speedup=2.0, error=3e-3), False),
        (ProductProbe(speedup=1.0, error=5e-7), False),
    ],
)
def test_only_products_that_stay_float32_and_are_faster_are_used(monkeypatch, probe, used) -> None:
    monkeypatch.setattr(cpu_matmul, "probe_products", lambda: probe)
    before = setting()
    with fast_products(nn.Linear(2, 2)):
        assert (setting() == "bf16") == used
    assert setting() == before


def test_the_setting_is_put_back_after_an_error(monkeypatch) -> Never:
    monkeypatch.setattr(cpu_matmul, "probe_products", lambda: ProductProbe(2.0, 5e-7))
    before = setting()
    with pytest.raises(ZeroDivisionError), fast_products(nn.Linear(2, 2)):
        raise ZeroDivisionError
    assert setting() == before


def test_half_precision_networks_are_left_alone(monkeypatch) -> None:
    monkeypatch.setattr(cpu_matmul, "probe_products", lambda: ProductProbe(2.0, 5e-7))
    before = setting()
    with fast_products(nn.Linear(2, 2).bfloat16()):
        assert setting() == before


def test_rounding_products_are_told_from_float32(monkeypatch) -> None:
    rounded = nn.functional.linear

    def rounding(left, right) -> Any:
        return rounded(left.bfloat16(), right.bfloat16()).float()

    probe_products.cache_clear()
    monkeypatch.setattr(cpu_matmul.nn.functional, "linear", rounding)
    assert not probe_products().worth_it
    probe_products.cache_clear()
