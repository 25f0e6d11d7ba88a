"""Builders that several rooms share, as fixtures: tests are collected without a common package."""

import os
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

# One commit gives one result; ``HYPOTHESIS_PROFILE=search`` looks for new examples at every run.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("search", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# The networks of the tests are tiny: a second thread only waits for the first, and where other
# work runs beside it that waiting is most of the time. Read by OpenMP when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def _module(name: str) -> ModuleType:
    spec = spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def ct_reports() -> ModuleType:
    """`ct_reports.py`: writes a CT series with planted names and makes a report on it."""
    return _module("ct_reports")


@pytest.fixture(scope="session")
def pacs_servers() -> ModuleType:
    """`pacs_servers.py`: a DICOMweb server and a storage SCP on this machine."""
    return _module("pacs_servers")
