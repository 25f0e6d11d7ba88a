"""Draft reports as DICOM structured reports: Basic Text SR and TID 1500 Comprehensive SR.

Both documents form one new SR series in the study of the source. They are COMPLETE (they hold
all that the model said), UNVERIFIED and PRELIMINARY (PS3.3 C.17.2), with the model as author and
device observer. Patient and study modules are copied from the source headers, re-read when the
report is saved; text is stored as UTF-8. `highdicom` and `dciodvfy` read and accept both.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from longllava_domains.arguments import checked
from longllava_domains.export.dicom.source_study import read_source
from longllava_domains.export.report_content import ReportContent, refuse_unfit
from longllava_domains.files import write_private
from longllava_domains.privacy import silenced


@checked
def save_dicom_sr(
    content: ReportContent,
    headers: Sequence[Any] | None,
    path: str | Path,
    *,
    overwrite: bool = False,
    allow_demo: bool = False,
) -> tuple[Path, ...]:
    """Write the draft report as DICOM SR, and its scored findings as TID 1500 beside it.

    Args:
        content: The report.
        headers: `SliceSource.source_headers()` of the volume, re-read now.
        path: File of the Basic Text SR. The TID 1500 document, written when there are scored
            findings, gets the same name ending in ``_findings.dcm``.
        overwrite: Replace files that are already there.
        allow_demo: Let a demonstration result through (tests only).

    Returns:
        The files written, readable by their owner alone.

    Raises:
        OutputError: A demonstration result, no DICOM source, identifiers missing or changed, a
            file that exists, or a folder that cannot be written.
    """
    from longllava_domains.export.dicom.sr_document import encoded

    documents = build_dicom_sr(content, headers, allow_demo=allow_demo)
    first = Path(path)
    paths = (first, first.with_name(f"{first.stem}_findings.dcm"))[: len(documents)]
    write_private(
        {target: encoded(document) for target, document in zip(paths, documents, strict=True)},
        overwrite=overwrite,
    )
    return paths


def build_dicom_sr(
    content: ReportContent, headers: Sequence[Any] | None, *, allow_demo: bool = False
) -> tuple[Any, ...]:
    """Build the pydicom data sets that `save_dicom_sr` writes.

    Returns:
        The Basic Text SR, then the TID 1500 document if there are scored findings.

    Raises:
        OutputError: See `save_dicom_sr`.
    """
    from pydicom.uid import BasicTextSRStorage, ComprehensiveSRStorage, generate_uid

    from longllava_domains.export.dicom import sr_content
    from longllava_domains.export.dicom.sr_document import KEYWORDS, make_document

    refuse_unfit(content, allow_demo=allow_demo)
    source = read_source(headers, KEYWORDS)
    content = replace(content, notices=(*content.notices, *source.notices))
    series_uid = str(generate_uid(None))
    with silenced():
        shown = sr_content.cited_instances(content, source)
        root = sr_content.text_report(content, source)
        documents = [make_document(BasicTextSRStorage, root, content, source, shown)]
        if content.abnormalities:
            root = sr_content.measurement_report(content, source)
            cited = source.cited(p for f in content.abnormalities for p in f.cited_slices)
            documents.append(make_document(ComprehensiveSRStorage, root, content, source, cited))
    for number, document in enumerate(documents, start=1):
        document.SeriesInstanceUID = series_uid
        document.InstanceNumber = number
    return tuple(documents)
