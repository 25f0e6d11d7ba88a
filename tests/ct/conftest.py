"""Fixtures of the CT room, and the count of the hazards that its tests cover."""

import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from longllava_domains import ct

# Builders that tests import by name are plain modules beside them.
sys.path.insert(0, str(Path(__file__).parent))

_HAZARDS: dict[str, tuple[str, int, bool]] = {}


def pytest_configure(config):
    config.addinivalue_line("markers", "hazard(section, count): rows of the hazard catalogue")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    marker = item.get_closest_marker("hazard")
    if marker is not None and call.when == "call":
        section, count = marker.args
        name = item.nodeid.split("[")[0]
        passed = _HAZARDS.get(name, ("", 0, True))[2] and report.passed
        _HAZARDS[name] = (section, count, passed)


def pytest_terminal_summary(terminalreporter):
    if _HAZARDS:
        covered = Counter()
        for section, count, passed in _HAZARDS.values():
            covered[section] += count if passed else 0
        each = ", ".join(f"{count} of {section}" for section, count in sorted(covered.items()))
        terminalreporter.write_line(f"hazards covered: {sum(covered.values())} ({each})")


@pytest.fixture(scope="session")
def dicom() -> ModuleType:
    """`dicom_builder.py`: writes DICOM series, sound and hostile."""
    import dicom_builder

    return dicom_builder


@pytest.fixture
def phantom(dicom):
    """The volume that `dicom.write_series` writes."""
    return dicom.phantom()


@pytest.fixture
def assert_whole(dicom):
    """Asserts that a volume is the phantom, at its place."""

    def check(volume):
        np.testing.assert_array_equal(volume.hu, dicom.phantom())
        np.testing.assert_allclose(volume.affine_ras_mm, dicom.affine_ras_mm(), atol=1e-3)

    return check


@pytest.fixture
def refused():
    """Asserts that opening or decoding is refused with an error and a remedy; returns the error."""

    def check(path, kind, code, **how):
        with pytest.raises(kind) as caught:
            _ = ct.open_volume(path, **how).hu
        assert caught.value.code == code, caught.value
        assert caught.value.remedy
        return caught.value

    return check
