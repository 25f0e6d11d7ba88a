"""The plan over a public index counts each series once: chosen, passed over or refused."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longllava_domains.archive.manifest.facts import SLIDE_CLASS
from longllava_domains.archive.manifest.idc import READ_FROM, IdcPlan, plan_idc
from longllava_domains.errors import NotFoundError, PolicyError

CT, EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"
JPEG = "1.2.840.10008.1.2.4.50"


def series(study: str, slices: int, **values: object) -> dict[str, object]:
    return {
        "Modality": "CT",
        "StudyInstanceUID": study,
        "SOPClassUID": CT,
        "TransferSyntaxUID": EXPLICIT,
        "PhotometricInterpretation": "MONOCHROME2",
        "SeriesDescription": "",
        "instanceCount": slices,
        "series_size_MB": slices / 2,
        **values,
    }


def plan(folder: Path, rows: list[dict[str, object]], domain: str = "ct") -> IdcPlan:
    pq.write_table(pa.Table.from_pylist(rows), folder / "index.parquet")
    return plan_idc(
        domain, seconds_per_item=36, read_bytes_per_second=1e6, index=folder / "index.parquet"
    )


def test_each_kind_of_series_is_counted_where_it_belongs(tmp_path: Path) -> None:
    found = plan(
        tmp_path,
        [
            series("a", 200),
            series("a", 400, SeriesDescription="Coronal MPR"),
            series("a", 2, SeriesDescription="SCOUT"),
            series("b", 80),
            series("b", 80),
            series("c", 1),
            series("d", 30, PhotometricInterpretation="MONOCHROME2,RGB"),
            series("d", 30, TransferSyntaxUID="1.2.840.10008.1.2.4.100"),
            series("d", 30, SOPClassUID="1.2.840.10008.5.1.4.1.1.7", SeriesDescription=None),
            series("e", 90, Modality="MR"),
        ],
    )
    assert (found.index_series, found.series, found.studies) == (10, 9, 4)
    assert (found.items, found.not_chosen, found.ambiguous) == (2, 2, 1)
    assert found.refused == {
        "series.localizer": 1, "series.no_volume": 1, "page.colour": 1, "codec.unsupported": 1,
        "file.other_modality": 1,
    }  # fmt: skip
    assert set(found.refused) <= set(READ_FROM)
    assert (found.bytes, found.largest_bytes) == (140_000_000, 100_000_000)
    assert (found.hours, found.bottleneck) == (pytest.approx(140 / 3600), "reading")


def test_every_slide_is_an_item(tmp_path: Path) -> None:
    slide = {"Modality": "SM", "SOPClassUID": SLIDE_CLASS, "PhotometricInterpretation": "RGB"}
    rows = [
        series("a", 5, **slide, TransferSyntaxUID=f"{EXPLICIT},{JPEG}"),
        series("a", 1, **slide),
    ]
    found = plan(tmp_path, rows, "pathology")
    assert (found.items, found.refused, found.bottleneck) == (2, {}, "scoring")


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4), st.booleans()), min_size=1))
def test_no_series_is_lost_or_counted_twice(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[int, int, bool]]
) -> None:
    rows = [
        series(str(study), slices, SeriesDescription="scout" if scout else "chest")
        for study, slices, scout in drawn
    ]
    found = plan(tmp_path_factory.mktemp("idc"), rows)
    assert found.items + found.not_chosen + sum(found.refused.values()) == len(rows)
    able = {study for study, slices, scout in drawn if slices >= 2 and not scout}
    assert found.items == len(able)


def test_a_missing_index_and_another_domain_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        plan_idc("ct", seconds_per_item=1, read_bytes_per_second=1, index=tmp_path / "none")
    with pytest.raises(PolicyError):
        plan_idc("remote_sensing", seconds_per_item=1, read_bytes_per_second=1)
