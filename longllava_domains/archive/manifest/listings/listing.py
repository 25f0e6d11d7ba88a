"""The sources that list what they hold, and the readers of their lists."""

from collections import Counter
from collections.abc import Iterator

from longllava_domains.archive.manifest.listings.dicomweb import DICOMWEB, list_dicomweb
from longllava_domains.archive.manifest.listings.idc_series import IDC, list_idc
from longllava_domains.archive.manifest.listings.stac import is_stac_source, list_stac
from longllava_domains.archive.manifest.secret import SiteSecret
from longllava_domains.archive.manifest.studies import Draft
from longllava_domains.archive.manifest.walk import REMOTE, require_place


def require_source(source: str) -> None:
    """Refuse a source on this machine that is not there; one elsewhere is asked when it is scanned.

    Raises:
        NotFoundError: Nothing is there.
    """
    if REMOTE not in source and not source.startswith(IDC):
        require_place(source)


def listing(
    source: str, domain: str, secret: SiteSecret, codes: Counter[str]
) -> Iterator[Draft] | None:
    """Return the items that a source lists; None for a source whose files are walked.

    Args:
        source: ``dicomweb+https://...``, a STAC document or API, or ``idc:``; all else is walked.
        domain: ``"ct"``, ``"pathology"`` or ``"remote_sensing"``.
        secret: Makes the keyed ids.
        codes: Counts what is set aside.

    Raises:
        PolicyError: The source holds nothing of this domain.
        NotFoundError: Nothing is there.
        NetworkError: The source cannot be reached.
    """
    if source.startswith(IDC):
        return list_idc(source, domain, secret, codes)
    if source.startswith(DICOMWEB):
        return list_dicomweb(source, domain, secret, codes)
    if is_stac_source(source, domain):
        return list_stac(source, secret, codes)
    return None
