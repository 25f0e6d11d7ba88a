"""The domains there are, and which one an input belongs to: decided by evidence in its bytes."""

import os
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final, cast

from longllava_domains.errors import (
    AmbiguousInputError,
    DamagedInputError,
    NotFoundError,
    PolicyError,
    UnsupportedInputError,
)
from longllava_domains.extras import absent_extras
from longllava_domains.pipelines.domains.ct import CTDomain
from longllava_domains.pipelines.domains.domain import Domain
from longllava_domains.pipelines.domains.evidence import ENOUGH_FILES, evidence_of
from longllava_domains.pipelines.domains.image import ImageDomain
from longllava_domains.pipelines.domains.names import require_as_named, require_no_text
from longllava_domains.pipelines.domains.pathology import PathologyDomain
from longllava_domains.pipelines.domains.remote_sensing import RemoteSensingDomain
from longllava_domains.remote_sensing.recognise import member_names
from longllava_domains.units import short_hash

ENTRY_POINTS: Final = "longllava_domains.domains"

# Settings whose option has another name on the command line.
_OPTIONS: Final = {
    "spacing_mm": "--every-mm",
    "windows": "--window",
    "max_views": "--most",
    "regions": "--region",
}


@cache
def domains() -> Mapping[str, Domain]:
    """Return the domains by name: ours, then those that other packages add."""
    ours = (CTDomain(), PathologyDomain(), RemoteSensingDomain(), ImageDomain())
    found = {domain.name: cast(Domain, domain) for domain in ours}
    for entry in entry_points(group=ENTRY_POINTS):
        domain = cast(Domain, entry.load())
        found.setdefault(domain.name, domain)
    return found


def decide_domain(source: str | Path, name: str | None = None, *others: str) -> Domain:
    """Return the domain of a file, folder or URL, or of several that are asked about together.

    Args:
        source: What the user named.
        name: The user's word, which wins.
        *others: Further inputs of the same question.

    Raises:
        NotFoundError: Nothing is there, it cannot be read, or it is a folder that no domain opens.
        DamagedInputError: A TIFF is cut short before anything says what it is.
        AmbiguousInputError: The evidence does not decide; the remedy names ``--domain``.
        UnsupportedInputError: There is no domain of that name, or a file is not what its name says.
        PolicyError: The inputs are of several domains.
    """
    named = None if name is None else _named(name)
    for each in (source, *others):
        require_as_named(each)
    if named is not None:
        return named
    found = claimed(source)
    for position, other in enumerate(others, 2):
        others_claims = claimed(other)
        if found and others_claims and not found & others_claims:
            raise PolicyError(
                f"Input {position} is {nouns(others_claims)}, and what stands before it is "
                f"{nouns(found)}.",
                remedy="Ask about each of them; together are asked about pictures, or dates of one "
                "scene.",
                code="domain.mixed",
            )
        found = found & others_claims or found
    if not found:
        require_no_text(source)
    if len(found) != 1:
        raise _undecided(source, found)
    return domains()[found.pop()]


def nouns(names: set[str]) -> str:
    """Return what inputs of these domains are called, such as ``"a CT or a slide"``."""
    return " or ".join(domain.noun for name, domain in domains().items() if name in names)


def claimed(source: str | Path) -> set[str]:
    """Return the names of the domains that an input can be of.

    Raises:
        NotFoundError: Nothing is there, it cannot be read, or it is a folder without files.
        DamagedInputError: A TIFF is cut short before anything says what it is.
    """
    certain, possible, damaged = set(), set(), False
    looked_at = list(evidence_of(source))
    for evidence in looked_at:
        claims = {name: domain.recognises(evidence) for name, domain in domains().items()}
        if evidence.magic is None and set(claims.values()) == {"no"}:
            raise NotFoundError(
                f"There is nothing at this path ({short_hash(evidence.source)}).",
                remedy="Check the path.",
                code="input.missing",
            )
        damaged |= evidence.magic is not None and evidence.magic.cut_short
        sure = {name for name, claim in claims.items() if claim == "certain"}
        certain |= sure
        possible |= set() if sure else {n for n, claim in claims.items() if claim == "possible"}
    if not looked_at:
        raise NotFoundError(
            "The folder is empty.",
            remedy="Give the folder or the file that holds the CT, slide, raster or picture.",
            code="input.empty_folder",
        )
    found = certain or possible
    if not found and damaged:
        raise DamagedInputError(
            "The TIFF ends before the directory that says what is in it.",
            remedy="It is truncated or damaged: fetch it again.",
            code="input.cut_short",
        )
    return found


def _undecided(source: str | Path, found: set[str]) -> AmbiguousInputError | NotFoundError:
    may_be = found or set(domains())
    able = _open_folder(source, may_be) if os.path.isdir(source) else may_be
    if not able:
        return NotFoundError(
            "No domain opens this folder: it holds no DICOM, GeoTIFF or JPEG 2000 file.",
            remedy="The folder of a CT or of a slide holds its DICOM files, that of a raster GeoTIFFs "
            "or JPEG 2000 files; name any other file, such as a picture, itself.",
            code="domain.undecided",
        )
    names = [f"--domain {known}" for known in domains() if known in able]
    listed = " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return AmbiguousInputError(
        "Nothing in this input says whether it is a CT, a slide, a raster or a picture."
        if not found
        else f"This input can be of several domains: {', '.join(sorted(found))}.",
        remedy=f"Name it: {listed}.{_unread_evidence()}",
        code="domain.undecided",
    )


def _open_folder(folder: str | Path, names: set[str]) -> set[str]:
    """Return those of these domains that may open a folder: a picture is never one."""
    kinds = [evidence.kind for evidence in evidence_of(folder)]
    # Who looked at the first files only cannot say what is not there.
    has_dicom = "dicom" in kinds or len(kinds) >= ENOUGH_FILES
    try:
        has_rasters = bool(member_names(folder))
    except NotFoundError:
        has_rasters = False
    opens = {
        "ct": has_dicom,
        "pathology": has_dicom,
        "remote_sensing": has_rasters,
        "image": False,
    }
    return {name for name in names if opens.get(name, True)}


def _unread_evidence() -> str:
    """Return a sentence on the domains whose evidence cannot be read on this installation."""
    absent = [extra.replace("-", " ") for extra in absent_extras()]
    if not absent:
        return ""
    return f" What {' and '.join(absent)} would recognise is not looked for: it is not installed."


def settings_for(domain: Domain, given: Mapping[str, Any]) -> Any:
    """Return the settings of a domain, and refuse what would mean nothing for it.

    Args:
        domain: Whose settings.
        given: Setting -> value; None and empty ones count as not given.

    Raises:
        PolicyError: Something was given that the domain does not know.
    """
    said = {name: value for name, value in given.items() if value is not None and value != ()}
    known = {field.name for field in fields(domain.settings)}
    foreign = [option(name) for name in said if name not in known]
    if foreign:
        raise PolicyError(
            f"{' and '.join(foreign)} would change nothing for {domain.noun}.",
            remedy="Leave that out; where the input is of another domain, name that with --domain.",
            code="cli.domain_option",
        )
    return domain.settings(**said)


def option(setting: str) -> str:
    """Return how a setting is spelled on the command line."""
    return _OPTIONS.get(setting, f"--{setting.replace('_', '-')}")


def _named(name: str) -> Domain:
    spelled = name.replace("-", "_")
    if spelled not in domains():
        *others, last = domains()
        raise UnsupportedInputError(
            "There is no such domain.",
            remedy=f"Use {', '.join(others)} or {last}.",
            code="domain.unknown",
        )
    return domains()[spelled]
