"""CT items of a DICOMweb server: what it lists is an item, and the loader decides when it is scored.

A study with one CT series is that series. Of a study with several, all are fetched when it is
scored, and the loader's own chooser takes one: what decides stands in the headers of the images.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from longllava_domains.archive.item import Item
from longllava_domains.archive.manifest.secret import SiteSecret
from longllava_domains.archive.manifest.studies import Draft
from longllava_domains.errors import PolicyError
from longllava_domains.formats.dicom.source_file import Found

if TYPE_CHECKING:
    from longllava_domains.ct.dicom.dicomweb import DicomWeb, ListedSeries

DICOMWEB: Final = "dicomweb+"
TOKEN_VARIABLE: Final = "LONGLLAVA_TOKEN"  # noqa: S105 - the name of a variable
_FEWEST_SLICES: Final = 2
# Where a server does not say the size of its images: an ordinary CT slice in 16 bits.
_SLICE_BYTES: Final = 512 * 512 * 2


def list_dicomweb(
    source: str, domain: str, secret: SiteSecret, codes: Counter[str]
) -> Iterator[Draft]:
    """Yield the CT studies of a server.

    Args:
        source: ``dicomweb+https://host/path``, and after a question mark what to search for, such
            as ``StudyDate=20240101-20241231&ModalitiesInStudy=CT``. A bearer token is read from
            LONGLLAVA_TOKEN.
        domain: ``"ct"``.
        secret: Makes the keyed ids.
        codes: Counts what is set aside.

    Raises:
        PolicyError: Another domain, or an address that must not be used.
        NetworkError: The server refused or could not be reached.
        UnsupportedInputError: More studies than one search returns; search for shorter times.
    """
    if domain != "ct":
        raise PolicyError(
            "Only CT is scanned from a DICOMweb server so far.",
            remedy="Copy the slides to a folder, and scan that.",
            code="archive.domain",
        )
    address, _, query = source.partition("?")
    studies: dict[str, list[ListedSeries]] = defaultdict(list)
    for listed in _server(address).list_archive(dict(parse_qsl(query))):
        if len(listed.instances) < _FEWEST_SLICES:
            codes["series.no_volume"] += 1
            continue
        if studies and listed.series.study_uid not in studies:  # a study is complete
            yield from (_draft(address, series, secret) for series in studies.values())
            studies.clear()
        studies[listed.series.study_uid].append(listed)
    yield from (_draft(address, series, secret) for series in studies.values())


def _draft(address: str, found: "list[ListedSeries]", secret: SiteSecret) -> Draft:
    study = found[0].series.study_uid
    instances = sorted(uid for each in found for uid in each.instances)
    item = Item(
        item_id=secret.key("dicomweb", instances),
        study_key=secret.key("study", [study]),
        domain="ct",
        uri=address,
        members=(study, *(each.series.series_uid for each in found)),
        images=len(instances),
        decoded_bytes=len(instances) * _SLICE_BYTES,
    )
    return Draft(item, study, "choice.only" if len(found) == 1 else "choice.later")


def fetch(item: Item) -> Found:
    """Fetch the series of an item into memory.

    Raises:
        NetworkError: The server refused, could not be reached or sent too few images.
        DamagedInputError: What it sent is not DICOM.
        UnsupportedInputError: It is larger than may be taken into memory.
    """
    from longllava_domains.ct.dicom.dicomweb import RemoteSeries

    server = _server(item.uri)
    study, *uids = item.members
    files = []
    for number, uid in enumerate(uids, start=1):
        files += server.fetch(RemoteSeries(number, str(number), None, study, uid)).files
    return Found([replace(file, position=number) for number, file in enumerate(files, start=1)])


def _server(address: str) -> "DicomWeb":
    from longllava_domains.ct.dicom.dicomweb import DicomWeb

    return DicomWeb(address.removeprefix(DICOMWEB), token=os.environ.get(TOKEN_VARIABLE))
