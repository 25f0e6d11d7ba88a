"""Result files that lmms-eval wrote, beside the paper's numbers."""

import json
from dataclasses import dataclass
from pathlib import Path

from longllava_domains.errors import DamagedInputError

_Z = 1.959964  # of 95 %


@dataclass(frozen=True)
class HarnessScore:
    """One number of lmms-eval.

    Attributes:
        value: As it stands in the file.
        standard_error: Likewise, None where it was not estimated.
        whole: All documents were asked, not only the first ones.
    """

    value: float
    standard_error: float | None
    whole: bool

    def interval(self, scale: float) -> tuple[float, float] | None:
        """Return the 95 % interval of the value over `scale`, None without a standard error."""
        if self.standard_error is None:
            return None
        middle, reach = self.value / scale, _Z * self.standard_error / scale
        return middle - reach, middle + reach


def read_harness_results(folder: Path) -> dict[str, HarnessScore]:
    """Read all result files of a folder; of two with the same number the later name counts.

    Args:
        folder: Given to lmms-eval as ``--output_path``; files end in ``results.json``.

    Returns:
        ``"TASK METRIC"`` -> number.

    Raises:
        DamagedInputError: A file is no such result.
    """
    found: dict[str, HarnessScore] = {}
    for path in sorted(folder.rglob("*results.json"), key=lambda path: path.name):
        try:
            content = json.loads(path.read_bytes())
            whole = content.get("config", {}).get("limit") is None
            for task, metrics in content["results"].items():
                for key, value in metrics.items():
                    name, _, by = key.partition(",")
                    if not by or not _is_number(value):
                        continue
                    error = metrics.get(f"{name}_stderr,{by}")
                    found[f"{task} {name}"] = HarnessScore(
                        float(value), float(error) if _is_number(error) else None, whole
                    )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise DamagedInputError(
                "A result file of lmms-eval cannot be read.",
                remedy="Leave only the result files of lmms-eval in the folder.",
                code="reproduce.harness",
            ) from None
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
