"""Fixtures that several packages share, and the count of the hazards that tests cover."""

import os
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

from longllava_domains import ct
from longllava_domains.errors import LongLlavaError

# One commit gives one result; ``HYPOTHESIS_PROFILE=search`` looks for new examples at every run.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("search", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# The networks of the tests are tiny: a second thread only waits for the first, and where other
# work runs beside it that waiting is most of the time. Read by OpenMP when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "hazard(section, count): rows of the hazard catalogue")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    report = (yield).get_result()
    marker = item.get_closest_marker("hazard")
    if marker is not None and report.when == "call":
        report.user_properties.append(("hazard", list(marker.args)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many rows of the hazard catalogue passed; a row counts if all its examples did."""
    rows: dict[str, tuple[str, int, bool]] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for section, count in (
                value for key, value in report.user_properties if key == "hazard"
            ):
                rows[report.nodeid.split("[")[0]] = (section, count, outcome == "passed")
    covered: Counter[str] = Counter()
    for section, count, passed in rows.values():
        covered[section] += count if passed else 0
    if covered:
        each = ", ".join(f"{count} of {section}" for section, count in sorted(covered.items()))
        terminalreporter.write_line(f"hazards covered: {sum(covered.values())} ({each})")


@pytest.fixture(scope="session")
def dicom() -> ModuleType:
    """`dicom_builder.py`: writes DICOM series, sound and hostile."""
    import dicom_builder

    return dicom_builder


@pytest.fixture(scope="session")
def ct_reports() -> ModuleType:
    """`ct_reports.py`: writes a CT series with planted names and makes a report on it."""
    import ct_reports

    return ct_reports


@pytest.fixture(scope="session")
def pacs_servers() -> ModuleType:
    """`pacs_servers.py`: a DICOMweb server and a storage SCP on this machine."""
    import pacs_servers

    return pacs_servers


@pytest.fixture
def phantom(dicom: ModuleType) -> NDArray[np.int16]:
    """The volume that `dicom.write_series` writes."""
    volume: NDArray[np.int16] = dicom.phantom()
    return volume


@pytest.fixture
def assert_whole(dicom: ModuleType) -> Callable[[ct.CTVolume], None]:
    """Asserts that a volume is the phantom, at its place."""

    def check(volume: ct.CTVolume) -> None:
        np.testing.assert_array_equal(volume.hu, dicom.phantom())
        np.testing.assert_allclose(volume.affine_ras_mm, dicom.affine_ras_mm(), atol=1e-3)

    return check


@pytest.fixture
def refused() -> Callable[..., LongLlavaError]:
    """Asserts that opening or decoding is refused with an error and a remedy; returns the error."""

    def check(path: Path, kind: type[LongLlavaError], code: str, **how: Any) -> LongLlavaError:
        with pytest.raises(kind) as caught:
            _ = ct.open_volume(path, **how).hu
        assert caught.value.code == code, caught.value
        assert caught.value.remedy
        return caught.value

    return check
