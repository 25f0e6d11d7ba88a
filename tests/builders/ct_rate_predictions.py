"""Made-up CT-RATE labels and probabilities: patients with scans and reconstructions."""

import random
from typing import Any

from longllava_domains.ct_rate_labels import CT_RATE_LABELS


def make(patients: int, seed: int = 0, split: str = "valid") -> tuple[list[dict], list[dict]]:
    """Return predictions and label rows; scores lean to the truth."""
    draw = random.Random(seed)
    predictions: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    for patient in range(1, patients + 1):
        for scan in "ab"[: draw.randint(1, 2)]:
            truth = {label: int(draw.random() < 0.25) for label in CT_RATE_LABELS}
            for number in range(1, draw.randint(1, 2) + 1):
                name = f"{split}_{patient}_{scan}_{number}.nii.gz"
                scores = {
                    label: round(min(max(draw.gauss(0.3 + 0.2 * there, 0.2), 0), 1), 3)
                    for label, there in truth.items()
                }
                labels.append({"VolumeName": name, **truth})
                predictions.append({"VolumeName": name, **scores})
    return predictions, labels
