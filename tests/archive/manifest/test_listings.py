"""Sources that list their items themselves: a DICOMweb server, a STAC catalogue, the public index."""

import json
import shutil
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import ModuleType

import fsspec
import numpy as np
import pacs_servers
import pyarrow as pa
import pyarrow.parquet as pq
import pystac
import pytest
import raster_builder as rasters
from counting_server import serving

from longllava_domains.archive.item import Item
from longllava_domains.archive.manifest.item_files import (
    dicom_files,
    local_source,
    open_ct,
    read_through,
)
from longllava_domains.archive.manifest.manifest import Manifest
from longllava_domains.archive.manifest.scan import ScanSummary, scan_archive
from longllava_domains.archive.manifest.secret import SiteSecret
from longllava_domains.ct import open_volume
from longllava_domains.errors import NotFoundError, PolicyError, UnsupportedInputError
from longllava_domains.remote_sensing import open_raster


def scan(source: object, domain: str, tmp_path: Path) -> tuple[ScanSummary, list[Item]]:
    place = tmp_path / "private" / "m.parquet"
    summary = scan_archive(str(source), domain, place, secret=SiteSecret(bytes(32)))
    return summary, list(Manifest(place)())


def test_studies_of_a_dicomweb_server_are_fetched_and_the_loader_chooses(
    tmp_path: Path, dicom: ModuleType, phantom: np.ndarray
) -> None:
    with pacs_servers.dicomweb_server() as server:
        for study, kernels in (("1", ("B30f", "B70f")), ("2", ("B30f",)), ("3", ())):
            for kernel in kernels:

                def edit(image, index: int, study: str = study, kernel: str = kernel) -> None:
                    image.StudyInstanceUID = f"{dicom.ROOT}.88.{study}"
                    image.SeriesInstanceUID = f"{dicom.ROOT}.88.{study}.{kernel[1:3]}"
                    image.SOPInstanceUID = f"{image.SeriesInstanceUID}.{index}"
                    image.ConvolutionKernel = kernel

                folder = dicom.write_series(tmp_path / study / kernel, edit=edit)
                server.files += [file.read_bytes() for file in sorted(folder.iterdir())]
        lone = dicom.write(dicom.datasets()[:1], tmp_path / "lone")
        server.files += [file.read_bytes() for file in lone.iterdir()]
        source = f"dicomweb+{server.url}"
        summary, items = scan(source, "ct", tmp_path)
        assert (summary.items, summary.set_aside) == (2, {"series.no_volume": 1})
        assert [len(item.members) - 1 for item in items] == [2, 1]
        for item in items:
            np.testing.assert_array_equal(open_ct(item).hu, phantom)
        there = tmp_path / "1"
        assert open_ct(items[0]).facts["kernel"] == open_volume(there).facts["kernel"]
        again, same = scan(source, "ct", tmp_path)
        assert (again.items, same) == (2, items)
        assert read_through(items[1]) > 20 * 1000
    with pytest.raises(PolicyError):
        scan("dicomweb+http://127.0.0.1:9", "pathology", tmp_path / "other")


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """A catalogue of two scenes and one item without a link of its own."""
    root = tmp_path / "catalogue"
    found = pystac.Catalog("scenes", "Scenes.")
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        rasters.tiled(root / name / "scene.tif")
        item = pystac.Item(name, None, None, datetime(2024, 5, 1, tzinfo=UTC), {})
        facts = {"file:size": 1000, "file:checksum": name}
        item.add_asset(
            "visual",
            pystac.Asset(
                "./scene.tif", roles=["visual"], media_type="image/tiff", extra_fields=facts
            ),
        )
        found.add_item(item)
    found.normalize_hrefs(str(root))
    found.save(pystac.CatalogType.SELF_CONTAINED)
    return root


@pytest.fixture
def served(catalogue: Path) -> Iterator[str]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        data = (catalogue / handler.path.lstrip("/")).read_bytes()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    with serving(answer) as (url, _):
        yield f"{url}/catalog.json"


def test_scenes_of_a_catalogue_are_items_opened_from_their_own_links(
    catalogue: Path, served: str, tmp_path: Path
) -> None:
    summary, here = scan(catalogue / "catalog.json", "remote_sensing", tmp_path)
    assert (summary.items, summary.bytes) == (2, 2000)
    for item in here:
        with local_source(item) as place, open_raster(place) as raster:
            assert raster.width == rasters.WIDTH
    _, there = scan(served, "remote_sensing", tmp_path / "remote")
    assert [item.uri.startswith("http://127.0.0.1") for item in there] == [True, True]


def test_an_item_from_a_server_that_names_a_file_of_this_machine_is_set_aside(
    catalogue: Path, served: str, tmp_path: Path
) -> None:
    (place,) = catalogue.rglob("a.json")
    item = json.loads(place.read_text())
    item["assets"]["visual"]["href"] = "file:///etc/passwd"
    place.write_text(json.dumps(item))
    summary, items = scan(served, "remote_sensing", tmp_path)
    assert (len(items), summary.set_aside) == (1, {"raster.stac_local": 1})


def test_a_document_that_is_no_stac_ends_the_scan_with_our_error(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        scan(tmp_path / "none.json", "remote_sensing", tmp_path)


def test_series_of_the_public_index_are_read_from_their_bucket(
    tmp_path: Path, dicom: ModuleType, phantom: np.ndarray
) -> None:
    row = {
        "Modality": "CT", "StudyInstanceUID": "1.2.3", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
        "TransferSyntaxUID": "1.2.840.10008.1.2.1", "PhotometricInterpretation": "MONOCHROME2",
        "SeriesDescription": "", "instanceCount": 20, "series_size_MB": 1.5,
        "aws_bucket": "public", "crdc_series_uuid": "u-1",
    }  # fmt: skip
    rows = [row, {**row, "crdc_series_uuid": "u-2", "instanceCount": 10}, {**row, "StudyInstanceUID": "4", "instanceCount": 1}]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "index.parquet")
    summary, (item,) = scan(f"idc:{tmp_path / 'index.parquet'}", "ct", tmp_path)
    assert summary.set_aside == {"series.no_volume": 1, "series.not_chosen": 1}
    assert (item.uri, item.images, item.bytes) == ("s3://public/u-1/", 20, 1_500_000)
    system = fsspec.filesystem("memory")
    system.put(str(dicom.write_series(tmp_path / "series")), "/public/u-1", recursive=True)
    there = Item(**{**vars(item), "uri": "memory://public/u-1/"})
    np.testing.assert_array_equal(open_ct(there).hu, phantom)
    system.rm("/public", recursive=True)


def test_scenes_in_a_zip_archive_and_in_a_remote_one_are_copied_for_their_reader(
    tmp_path: Path,
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    scene = rasters.tiled(tmp_path / "DOE.tif")
    with zipfile.ZipFile(source / "scenes.zip", "w") as packed:
        packed.write(scene, "DOE.tif")
        packed.writestr("notes.txt", "nothing")
    summary, (item,) = scan(source, "remote_sensing", tmp_path)
    assert summary.set_aside == {"file.not_of_domain": 1}
    system = fsspec.filesystem("memory")
    system.put(str(scene), "/scenes/a.tif")
    remote = Item(item.item_id, item.study_key, "remote_sensing", "memory://scenes/a.tif")
    for each in (item, remote):
        assert read_through(each) == scene.stat().st_size
        with local_source(each) as place:
            assert Path(place).suffix == ".tif"
            assert Path(place).read_bytes() == scene.read_bytes()
        assert not Path(place).exists()
    system.rm("/scenes", recursive=True)


def test_what_needs_its_neighbours_or_more_room_than_there_is_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slide = Item("0" * 32, "0" * 32, "pathology", "memory://slides/a.mrxs")
    with pytest.raises(UnsupportedInputError) as caught, local_source(slide):
        pass
    assert caught.value.code == "archive.remote_slide"
    system = fsspec.filesystem("memory")
    system.pipe("/slides/b.svs", b"II*\0 and more")
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    slide = Item("0" * 32, "0" * 32, "pathology", "memory://slides/b.svs")
    with pytest.raises(UnsupportedInputError) as caught, local_source(slide):
        pass
    assert caught.value.code == "archive.no_room"
    with pytest.raises(NotFoundError):
        dicom_files(Item("0" * 32, "0" * 32, "ct", str(tmp_path), members=("gone.dcm",)))
