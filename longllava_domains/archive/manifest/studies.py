"""From the files of a study to its items: the CT loader's choice, or one item for each slide."""

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import BinaryIO, Final

from longllava_domains.archive.item import Item
from longllava_domains.archive.manifest.facts import unpack_headers
from longllava_domains.archive.manifest.index import IndexedFile
from longllava_domains.archive.manifest.secret import SiteSecret
from longllava_domains.archive.manifest.walk import IN_ZIP, REMOTE
from longllava_domains.ct.dicom.header import SliceHeader
from longllava_domains.ct.dicom.series.grouping import SubSeries, group
from longllava_domains.ct.dicom.series.selection import choose
from longllava_domains.errors import InputError
from longllava_domains.formats.dicom.source_file import SourceFile
from longllava_domains.units import short_hash

_SAMPLE_BYTES: Final = 2


@dataclass(frozen=True)
class Draft:
    """An item, and what ties it to a study.

    Attributes:
        item: The item.
        study: Study UID as the header has it; empty where there is none.
        choice: Report code of why the series was chosen; empty where there was no choice.
    """

    item: Item
    study: str
    choice: str = ""


@dataclass(frozen=True)
class _File:
    """A file of a study with the headers of its images."""

    file: IndexedFile
    headers: tuple[SliceHeader, ...]

    @property
    def identity(self) -> str:
        """Identity of the file's content, independent of its path."""
        first = self.headers[0]
        return f"{first.instance or self.file.member}:{self.file.size}"


def group_studies(files: Iterable[IndexedFile]) -> Iterator[list[IndexedFile]]:
    """Yield the files of one study after another; those without a study UID folder by folder.

    Args:
        files: In the order of container, study and member.
    """

    def key(file: IndexedFile) -> tuple[str, str, str]:
        study = file.facts.study
        return file.container, study, "" if study else posixpath.dirname(file.member)

    for _, files_of_one in groupby(files, key=key):
        yield list(files_of_one)


def drafts(
    files: list[IndexedFile], domain: str, secret: SiteSecret, cut: set[str]
) -> Iterator[Draft]:
    """Yield the items of one study.

    Args:
        files: The study's files.
        domain: ``"ct"``, ``"pathology"`` or ``"remote_sensing"``.
        secret: Makes the keyed ids.
        cut: Digests of series of which files end before their pixels.
    """
    images: dict[str, _File] = {}
    for number, file in enumerate(files):
        if not file.facts.headers:
            yield _single(file, domain, secret)
            continue
        source = SourceFile(number, short_hash(file.member), file.size, _closed)
        image = _File(file, tuple(unpack_headers(file.facts.headers, source)))
        images.setdefault(image.identity, image)  # copies of an image are one
    if not images:
        return
    if domain == "ct":
        yield _chosen(list(images.values()), secret, cut)
    else:
        yield from _slides(list(images.values()), secret)


def _closed() -> BinaryIO:
    raise OSError("headers of a scan are for choosing only")


def _single(file: IndexedFile, domain: str, secret: SiteSecret) -> Draft:
    item_id = secret.key("file", [file.facts.content])
    uri = _join(file.container, file.member)
    item = Item(
        item_id, item_id, domain, uri, bytes=file.size, decoded_bytes=file.size
    )  # a single file has no study: its own id stands for one
    return Draft(item, "")


def _chosen(images: list[_File], secret: SiteSecret, cut: set[str]) -> Draft:
    """Return the item of a CT study: the series that the loader would choose."""
    series = group(header for image in images for header in image.headers)
    try:
        picked = choose(series, None)
    except InputError as error:
        return _draft("ct", images, secret, expected=error.code)
    one = series[picked.index]
    numbers = {header.file.position for header in one.headers}
    chosen = [image for image in images if image.headers[0].file.position in numbers]
    return _draft(
        "ct",
        chosen,
        secret,
        expected=_expected(one, cut),
        series=picked.rows[picked.index].key,
        choice=next(iter(picked.codes)),  # the first code says what decided
        headers=one.headers,
    )


def _expected(one: SubSeries, cut: set[str]) -> str:
    """Return the code with which the loader refuses a series, as far as headers say."""
    if one.mixed:
        return "series.mixed_patients"
    if one.rest:
        sizes = all(rest.differs == "size" for rest in one.rest)
        return "ct.mixed_size" if sizes else "ct.part_of_series"
    return "ct.cut_files" if one.headers[0].series in cut else ""


def _slides(images: list[_File], secret: SiteSecret) -> Iterator[Draft]:
    """Yield one item for each slide: the files that share a series."""
    series: dict[str, list[_File]] = defaultdict(list)
    for image in images:
        series[image.headers[0].series].append(image)
    for each in series.values():
        yield _draft("pathology", each, secret)


def _draft(
    domain: str,
    images: list[_File],
    secret: SiteSecret,
    *,
    expected: str = "",
    series: str = "",
    choice: str = "",
    headers: tuple[SliceHeader, ...] | None = None,
) -> Draft:
    files = [image.file for image in images]
    shown = headers or tuple(header for image in images for header in image.headers)
    identities = sorted(image.identity for image in images)
    item_id = secret.key("item", [domain, series, *identities])
    study = files[0].facts.study
    folder, members = _below(files)
    item = Item(
        item_id=item_id,
        study_key=secret.key("study", [study]) if study else item_id,
        domain=domain,
        uri=folder,
        members=members,
        series=series,
        images=len(shown),
        bytes=sum(file.size for file in files),
        decoded_bytes=sum(_decoded_bytes(header) for header in shown),
        expected=expected,
    )
    return Draft(item, study, choice)


def _decoded_bytes(header: SliceHeader) -> int:
    frames = header.frames if not header.grouped and header.frame == 0 else 1
    size = (header.rows or 0) * (header.columns or 0) * header.samples * frames
    return size * _SAMPLE_BYTES


def _below(files: list[IndexedFile]) -> tuple[str, tuple[str, ...]]:
    """Return the folder that files share, and their places below it."""
    container = files[0].container
    members = [file.member for file in files]
    if container.endswith(IN_ZIP):
        return container, tuple(members)
    shared = posixpath.commonpath([posixpath.dirname(member) for member in members])
    if not shared:
        return container, tuple(members)
    return _join(container, shared), tuple(posixpath.relpath(m, shared) for m in members)


def _join(container: str, member: str) -> str:
    if REMOTE in container:
        return f"{container.rstrip('/')}/{member}"
    return posixpath.join(container, member)
