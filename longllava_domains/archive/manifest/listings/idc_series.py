"""Items of the public Imaging Data Commons, from its index; pixels come from its bucket when scored.

The index holds no instance UIDs, so an item's id is made of the series' own identifier, which
changes with its content.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from longllava_domains.archive.item import Item
from longllava_domains.archive.manifest.idc import chosen_series
from longllava_domains.archive.manifest.secret import SiteSecret
from longllava_domains.archive.manifest.studies import Draft

IDC: Final = "idc:"
_COLUMNS: Final = ["StudyInstanceUID", "instanceCount", "series_size_MB", "aws_bucket", "crdc_series_uuid"]  # fmt: skip
_BATCH: Final = 65_536
_MB: Final = 1_000_000


def list_idc(source: str, domain: str, secret: SiteSecret, codes: Counter[str]) -> Iterator[Draft]:
    """Yield the chosen series.

    Args:
        source: ``idc:``, or ``idc:PATH`` for another index file than the installed one.
        domain: ``"ct"`` or ``"pathology"``.
        secret: Makes the keyed ids.
        codes: Counts what is set aside.

    Raises:
        PolicyError: Another domain.
        NotFoundError: The index is not installed, or there is no such file.
    """
    place = source.removeprefix(IDC)
    found = chosen_series(domain, Path(place) if place else None, _COLUMNS)
    codes.update(found.refused)
    codes["series.not_chosen"] += found.not_chosen
    rows = found.table.select(_COLUMNS).take(np.flatnonzero(found.chosen))
    del found
    for batch in rows.to_batches(max_chunksize=_BATCH):
        for row in batch.to_pylist():
            size = int(row["series_size_MB"] * _MB)
            study, series = row["StudyInstanceUID"], row["crdc_series_uuid"]
            item = Item(
                item_id=secret.key("idc", [domain, series]),
                study_key=secret.key("study", [study]),
                domain=domain,
                uri=f"s3://{row['aws_bucket']}/{series}/",
                images=row["instanceCount"],
                bytes=size,
                decoded_bytes=size,
            )
            yield Draft(item, study, "choice.index")
