"""Fixtures of the report exporters: a written CT series with planted names, and a report on it."""

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def series(ct_reports: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files of a four-slice CT series with planted names."""
    return ct_reports.write_series(tmp_path_factory.mktemp("series"))


@pytest.fixture
def headers(ct_reports: Any, series: list[Path]) -> list[Any]:
    """Freshly re-read headers of the series."""
    return ct_reports.read_headers(series)


@pytest.fixture
def report(ct_reports: Any, headers: list[Any]) -> Any:
    """A complete report on the series."""
    return ct_reports.make_report(headers)


@pytest.fixture
def report_factory(ct_reports: Any) -> Any:
    """`make_report(headers, **changes)`."""
    return ct_reports.make_report


@pytest.fixture
def series_factory(ct_reports: Any, tmp_path: Path) -> Any:
    """`write_series` into a fresh folder, returning re-read headers."""
    return lambda **changes: ct_reports.read_headers(ct_reports.write_series(tmp_path, **changes))


@pytest.fixture(scope="session")
def planted(ct_reports: Any) -> dict[str, str]:
    """The values planted in the headers, by DICOM keyword."""
    return ct_reports.PLANTED
