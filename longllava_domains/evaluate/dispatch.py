"""`score`: a prediction file under a named protocol of a named benchmark."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any, Final

from longllava_domains.arguments import checked
from longllava_domains.errors import PolicyError
from longllava_domains.evaluate.ct_rate import PROTOCOLS as CT_RATE
from longllava_domains.evaluate.datasets.dataset import Dataset
from longllava_domains.evaluate.fit_rsfg import PROTOCOLS as FIT_RSFG
from longllava_domains.evaluate.medical_vqa import PROTOCOLS as MEDICAL_VQA
from longllava_domains.evaluate.predictions import Matching, Source
from longllava_domains.evaluate.predictions.inputs import input_hash
from longllava_domains.evaluate.protocol import Protocol
from longllava_domains.evaluate.reports import PROTOCOLS as REPORTS
from longllava_domains.evaluate.result import Result
from longllava_domains.evaluate.slides import PROTOCOLS as SLIDES

_ALL: Final = (*CT_RATE, *REPORTS, *MEDICAL_VQA, *SLIDES, *FIT_RSFG)

PROTOCOLS: Final[Mapping[str, Mapping[str, Protocol]]] = MappingProxyType(
    {
        benchmark: MappingProxyType(
            {each.name: each for each in _ALL if each.benchmark == benchmark}
        )
        for benchmark in dict.fromkeys(each.benchmark for each in _ALL)
    }
)
"""Benchmark -> protocol -> how it scores."""

_MATCHING: Final = tuple(each.name for each in fields(Matching))
_GIVEN_BY_SCORE: Final = ("predictions", "references", "protocol", "how")
SYNTHETIC: Final = "SYNTHETIC"


@checked
def score(
    benchmark: str,
    predictions: Source,
    references: Source | Dataset | None = None,
    *,
    protocol: str,
    synthetic: bool = False,
    **settings: Any,
) -> Result:
    """Score predictions, whoever made them; no model is loaded.

    Args:
        benchmark: Name in `PROTOCOLS`.
        predictions: A file (``.jsonl``, ``.json``, ``.csv``, ``.tsv``, ``.parquet``) or an
            iterable of mappings.
        references: The same for the true answers, or a `Dataset`, whose hash and leaks then stand
            on the card; None where the prediction rows hold them.
        protocol: Name, or name and version as ``"llava-med@b9a98a73"``.
        synthetic: The data are phantoms; the result then says so and never bears the
            benchmark's name alone.
        **settings: Choices of `Matching` (``missing="error" | "wrong" | "drop"`` ...) and of the
            protocol; see `explain_settings`.

    Raises:
        PolicyError: An unknown name, version or setting, or a choice that must be made.
        InputError: The files cannot be read or do not fit each other.
    """
    chosen = find_protocol(benchmark, protocol)
    allowed = explain_settings(chosen)
    require_settings(benchmark, (chosen,), settings)
    fixed = {"decoding": input_hash(dict(chosen.decoding))} if chosen.decoding else {}
    matching = {name: settings[name] for name in _MATCHING if name in settings}
    how = Matching(**{"inputs": fixed, **matching})
    own = {name: value for name, value in settings.items() if name not in _MATCHING}
    data = references if isinstance(references, Dataset) else None
    truths = references if data is None else data.references
    found = chosen.score(predictions, truths, protocol=chosen, how=how, **own)
    made = {**allowed, **{name: _stamp(value) for name, value in settings.items()}}
    made = {"synthetic": synthetic, **made, **found.settings}
    if data is not None:
        made["data"] = {"build": data.build, "sha256": data.hashes[data.evaluated]}
        found = found.with_notes(*data.notes)
    if synthetic:
        found = replace(found, benchmark=f"{SYNTHETIC} {benchmark}").with_notes(
            f"{SYNTHETIC}: made of phantoms; not comparable with any published number"
        )
    return replace(found, settings=made)


def find_protocol(benchmark: str, protocol: str) -> Protocol:
    """Return a protocol by name, or by name and version.

    Raises:
        PolicyError: The benchmark, protocol or version is not one of ours; the remedy lists them.
    """
    if benchmark not in PROTOCOLS:
        raise PolicyError(
            f"There is no benchmark {benchmark!r}.",
            remedy=f"Choose one of {', '.join(PROTOCOLS)}.",
            code="evaluate.benchmark",
        )
    name, _, version = protocol.partition("@")
    found = PROTOCOLS[benchmark].get(name)
    if found is None or version not in ("", found.version):
        labels = ", ".join(each.label for each in PROTOCOLS[benchmark].values())
        raise PolicyError(
            f"{benchmark} has no protocol {protocol!r}.",
            remedy=f"Choose one of {labels}; longllava evaluate explain scores a file under every protocol.",
            code="evaluate.protocol",
        )
    return found


def require_settings(
    benchmark: str, protocols: Sequence[Protocol], settings: Mapping[str, Any]
) -> None:
    """Refuse settings that no protocol has, and choices of `Matching` that do not exist.

    Args:
        benchmark: Name in `PROTOCOLS`.
        protocols: Those that score; each takes what it has.
        settings: As for `score`.

    Raises:
        PolicyError: There is such a setting.
    """
    allowed = {name: None for each in protocols for name in explain_settings(each)}
    unknown = sorted(settings.keys() - allowed.keys())
    if unknown:
        has, it = ("has", "It has") if len(protocols) == 1 else ("have", "They have")
        raise PolicyError(
            f"{', '.join(each.label for each in protocols)} of {benchmark} {has} no setting "
            f"{', '.join(unknown)}.",
            remedy=f"{it} {', '.join(allowed)}.",
            code="evaluate.setting",
        )
    Matching(**{name: value for name, value in settings.items() if name in _MATCHING})


def explain_settings(protocol: Protocol) -> dict[str, Any]:
    """Return the settings of a protocol with their defaults."""
    own = {
        name: parameter.default
        for name, parameter in inspect.signature(protocol.score).parameters.items()
        if name not in _GIVEN_BY_SCORE
    }
    return {each.name: each.default for each in fields(Matching)} | own


def _stamp(value: Any) -> Any:
    """Return a setting as JSON can hold it; files and rows are not repeated."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return value if len(value) <= 64 and "/" not in value and "." not in value else "given"
    if isinstance(value, Mapping):
        return {str(key): _stamp(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value):
        return list(value)
    return "given"
