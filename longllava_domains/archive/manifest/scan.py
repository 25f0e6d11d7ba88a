"""Scan an archive: walk it, read what is new, group studies, and write manifest and linkage.

Two passes. The first reads headers into an index on disk; the second goes through the index study
by study. Memory holds one folder's names and one study's headers at a time.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from longllava_domains.archive.item import require_domain
from longllava_domains.archive.manifest.facts import FileFacts, read_dicom, starts
from longllava_domains.archive.manifest.index import ScanIndex
from longllava_domains.archive.manifest.listings.listing import listing
from longllava_domains.archive.manifest.manifest import (
    LINKAGE,
    MANIFEST,
    RowWriter,
    linkage_beside,
    private_rows,
    reading,
    scan_files,
)
from longllava_domains.archive.manifest.secret import SiteSecret
from longllava_domains.archive.manifest.single_files import content_digest, is_single
from longllava_domains.archive.manifest.studies import Draft, drafts, group_studies
from longllava_domains.archive.manifest.walk import IN_ZIP, REMOTE, Entry, walk
from longllava_domains.archive.manifest.zips import files_in_zip
from longllava_domains.archive.results.parts import writing
from longllava_domains.arguments import checked
from longllava_domains.errors import InputError, LongLlavaError, NotFoundError, PolicyError
from longllava_domains.units import hashing_with

_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_TELL_FILES: Final = 1000


@dataclass(frozen=True)
class ScanSummary:
    """Summary of a scan; no path and no name.

    Attributes:
        items: In the manifest.
        files: Seen in the source.
        read: Of these, new or changed since the last scan.
        gone: Files of the last scan that are no more.
        bytes: Of all items.
        expected: Code -> items that the loader will refuse, as far as headers say.
        set_aside: Code -> files that are part of no item.
        seconds: It took.
    """

    items: int
    files: int
    read: int
    gone: int
    bytes: int
    expected: Mapping[str, int] = field(default_factory=dict)
    set_aside: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0


@checked
def scan_archive(
    source: str,
    domain: str,
    manifest: Path,
    *,
    secret: SiteSecret,
    linkage: Path | None = None,
    on_files: Callable[[int], None] | None = None,
) -> ScanSummary:
    """List what an archive holds.

    Args:
        source: A folder, a file, or a URL that fsspec opens; or what lists its items itself:
            ``dicomweb+https://...``, a STAC document or API (``stac+https://...``), ``idc:``.
        domain: ``"ct"``, ``"pathology"`` or ``"remote_sensing"``.
        manifest: The file to write; an index that makes rescans quick lies beside it.
        secret: Makes the keyed ids; the same for all scans of a site.
        linkage: The linkage file; by default ``linkage.parquet`` beside the manifest.
        on_files: Called with the number of files seen, now and then.

    Raises:
        NotFoundError: No source, or no item of the domain: no file is written or replaced.
        NetworkError: The source cannot be reached.
        PolicyError: An unknown domain, or the manifest belongs to another source or secret.
        OutputError: A file cannot be written.
    """
    require_domain(domain)
    start = time.monotonic()
    is_new_folder = not manifest.parent.exists()
    with writing():
        manifest.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    links = linkage or linkage_beside(manifest)
    own = LINKAGE.with_metadata({"scan": secret.key("scan", [source, domain])})
    path = scan_files(manifest, links)[-1]
    is_new = not path.exists()
    index = ScanIndex(path)
    try:
        _require_same(index, source, domain, secret)
        _require_own_linkage(links, own)  # before hours of reading
        codes: Counter[str] = Counter()
        listed = listing(source, domain, secret, codes)
        if listed is not None:
            index.end_round()
            summary = _write(index, listed, domain, manifest, links, own, codes)
            return _listed_summary(summary, codes, time.monotonic() - start)
        reader = _Reader(index, source, domain, on_files)
        reader.run(secret)
        gone = index.end_round()
        found = _grouped(index, domain, secret)
        summary = _write(index, found, domain, manifest, links, own, reader.codes)
        codes = reader.codes + summary.codes + Counter(index.set_aside())
        return _read_summary(reader, summary, gone, codes, time.monotonic() - start)
    except LongLlavaError:  # an interrupted scan keeps its index; one that was refused, nothing
        if is_new:
            path.unlink(missing_ok=True)
        raise
    finally:
        index.close()
        if is_new_folder and not any(manifest.parent.iterdir()):
            manifest.parent.rmdir()


def _read_summary(
    reader: "_Reader", written: "_Written", gone: int, codes: Counter[str], seconds: float
) -> ScanSummary:
    """Return the summary of a source whose files were read."""
    return ScanSummary(
        items=written.items,
        files=reader.files,
        read=reader.read,
        gone=gone,
        bytes=written.bytes,
        expected=dict(sorted(written.expected.items())),
        set_aside=dict(sorted(codes.items())),
        seconds=seconds,
    )


def _listed_summary(written: "_Written", codes: Counter[str], seconds: float) -> ScanSummary:
    """Return the summary of a source that lists its items itself."""
    return ScanSummary(
        items=written.items,
        files=written.items,
        read=written.items,
        gone=0,
        bytes=written.bytes,
        set_aside=dict(sorted((codes + written.codes).items())),
        seconds=seconds,
    )


def _require_same(index: ScanIndex, source: str, domain: str, secret: SiteSecret) -> None:
    for name, value in (("source", source), ("domain", domain), ("secret", secret.check)):
        known = index.fact(name)
        if known not in (None, value):
            raise PolicyError(
                f"The manifest was made with another {name}.",
                remedy="Give another name for the manifest, or what it was made with.",
                code="archive.other_scan",
            )
        index.set_fact(name, value)
    index.require_hashes("of the site")


class _Reader:
    """The first pass: what is new goes into the index."""

    def __init__(
        self, index: ScanIndex, source: str, domain: str, on_files: Callable[[int], None] | None
    ) -> None:
        self._index, self._source, self._domain = index, source, domain
        self._on_files = on_files
        self.codes: Counter[str] = Counter()
        self.files = 0
        self.read = 0

    def run(self, secret: SiteSecret) -> None:
        """Enter every file that is new or changed into the index, hashed alike in every run."""
        with hashing_with(secret.key("header", ()).encode()):
            self._enter()

    def _enter(self) -> None:
        is_file = REMOTE not in self._source and Path(self._source).is_file()
        container = str(Path(self._source).parent) if is_file else self._source
        for entry in walk(self._source, self.codes):
            self.files += 1
            if entry.url == self._source:  # a remote source that is one file
                container = self._source.rpartition("/")[0]
            if self._on_files is not None and self.files % _TELL_FILES == 0:
                self._on_files(self.files)
            if self._index.is_known(container, entry.member, entry.size, entry.stamp):
                continue
            facts = self._facts(entry)
            if facts is not None:
                self.read += 1
                self._index.add(container, entry.member, entry.size, entry.stamp, facts)

    def _facts(self, entry: Entry) -> FileFacts | None:
        """Return what a file is; None for an archive, whose files are entered by themselves."""
        if self._domain != "remote_sensing":
            facts = read_dicom(entry, self._domain)
            if facts.code != "file.not_dicom":
                return facts
        head = starts(entry)
        if is_single(entry, head, self._domain):
            try:
                return FileFacts(content=content_digest(entry))
            except OSError:
                return FileFacts("file.unreadable")
        if head.startswith(_ZIP):
            self._open_zip(entry)
            return None
        return FileFacts("file.not_of_domain")

    def _open_zip(self, entry: Entry) -> None:
        container = f"{entry.path or entry.url}{IN_ZIP}"
        if self._index.is_known_container(container, entry.stamp):
            return
        try:
            found = files_in_zip(container)
        except InputError as error:
            self.codes[error.code] += 1
            return
        self.codes.update(found.codes)
        for file in found.files:
            member = Entry(str(file.position), file.size, entry.stamp, file.open)
            facts = self._facts_in_zip(member)
            self.read += 1
            self._index.add(container, member.member, file.size, entry.stamp, facts)

    def _facts_in_zip(self, member: Entry) -> FileFacts:
        """Return what an entry of a zip archive is; its name is not known, so its bytes decide."""
        if self._domain != "remote_sensing":
            facts = read_dicom(member, self._domain)
            if facts.code != "file.not_dicom":
                return facts
        try:
            if is_single(member, starts(member), self._domain):
                return FileFacts(content=content_digest(member))
        except OSError:
            return FileFacts("file.unreadable")
        return FileFacts("file.not_of_domain")


@dataclass
class _Written:
    items: int = 0
    bytes: int = 0
    expected: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)


def _grouped(index: ScanIndex, domain: str, secret: SiteSecret) -> Iterator[Draft]:
    """The second pass: from the index to items, study by study."""
    for files in group_studies(index.files()):
        cut = index.cut(files[0].container, files[0].facts.study)
        yield from drafts(files, domain, secret, cut)


def _write(
    index: ScanIndex,
    found: Iterator[Draft],
    domain: str,
    manifest: Path,
    links: Path,
    own: pa.Schema,
    seen: Counter[str],
) -> _Written:
    """Write items to manifest and linkage, each once."""
    written = _Written()
    with private_rows(links, own) as tied, private_rows(manifest, MANIFEST) as rows:
        for draft in found:
            if index.is_first(draft.item.item_id):
                _add(draft, rows, tied, written)
            else:
                written.codes["item.copy"] += 1
        if not written.items:  # inside, so that no file appears, and an older manifest stays
            raise _nothing_found(domain, seen + Counter(index.set_aside()))
    return written


def _nothing_found(domain: str, seen: Counter[str]) -> NotFoundError:
    told = ", ".join(f"{count} {code}" for code, count in seen.most_common(5))
    return NotFoundError(
        f"Nothing was found: the source holds no item of the domain {domain} "
        f"(set aside: {told or 'nothing; it is empty'}).",
        remedy="Check the source, and that its domain is ct, pathology or remote_sensing.",
        code="archive.nothing",
    )


def _require_own_linkage(links: Path, own: pa.Schema) -> None:
    """Refuse to overwrite the linkage of another scan: keys would lose their studies."""
    if not links.exists():
        return
    with reading():
        known = pq.read_schema(links).metadata or {}
    if known.get(b"scan") != own.metadata[b"scan"]:
        raise PolicyError(
            "The linkage file belongs to another scan.",
            remedy="Give another name for the linkage, or keep each manifest in a folder of its own.",
            code="archive.other_linkage",
        )


def _add(draft: Draft, rows: RowWriter, tied: RowWriter, written: _Written) -> None:
    item = draft.item
    rows.add({**vars(item), "choice": draft.choice})
    tied.add(
        {
            "study_key": item.study_key,
            "item_id": item.item_id,
            "study_uid": draft.study,
            "uri": item.uri,
        }
    )
    written.items += 1
    written.bytes += item.bytes
    if item.expected:
        written.expected[item.expected] += 1
