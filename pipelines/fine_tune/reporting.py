"""Places for the figures of a training besides the screen: refused before anything is loaded."""

from longllava_domains.errors import PolicyError
from longllava_domains.units import did_you_mean


def require_report_to(name: str) -> None:
    """Refuse a place for figures that transformers does not know, or that is not installed.

    Args:
        name: ``"none"``, ``"all"``, or a name such as ``"tensorboard"``.

    Raises:
        PolicyError: It is none of these.
    """
    if name in ("none", "all"):
        return
    from transformers.integrations import get_available_reporting_integrations
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    ready = [each for each in get_available_reporting_integrations() if each != "none"]
    if name in ready:
        return
    if name in INTEGRATION_TO_CALLBACK:
        raise PolicyError(
            f"Figures cannot go to {name}: it is not installed.",
            remedy=f"Install it, or use {_choices(ready)}.",
            code="training.report_to",
        )
    near = did_you_mean(name, [*INTEGRATION_TO_CALLBACK, "none", "all"])
    raise PolicyError(
        "There is no place for figures of that name.",
        remedy=f"{near}Use {_choices(ready)}.",
        code="training.report_to",
    )


def _choices(ready: list[str]) -> str:
    return " or ".join(["none", *sorted(ready)])
