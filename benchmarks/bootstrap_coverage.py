"""How often a 95 % interval holds the truth: accuracy and macro F1 of clustered, simulated data.

    python benchmarks/bootstrap_coverage.py [--datasets 1000] [--clusters 200] [--draws 1000]

Each data set has patients with one to four volumes and 18 labels of CT-RATE's prevalences; labels
and errors of a patient go together. The truth is the value over a hundred thousand patients.
Coverage should lie between 93 and 97 %.
"""

import argparse

import numpy as np

from longllava_domains.ct_rate_labels import CT_RATE_LABELS
from longllava_domains.evaluate.bootstrap import with_intervals
from longllava_domains.evaluate.multilabel import statistics
from longllava_domains.evaluate.predictions import Counts
from longllava_domains.evaluate.result import Result

# Positives of the validation split over its 3,039 volumes.
PREVALENCE = np.array(
    [313, 867, 325, 226, 765, 417, 789, 600, 713, 1361, 1184, 831, 376, 253, 355, 581, 330, 249]
) / 3039  # fmt: skip
METRICS = ("accuracy", "macro/f1", "micro/f1", "crg")


def simulate(patients: int, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Return patient of each volume, truth and calls; all volumes of a patient share the labels."""
    volumes = generator.integers(1, 5, patients)
    patient = np.repeat(np.arange(patients), volumes)
    truth = (generator.random((patients, 18)) < PREVALENCE)[patient]
    # A patient that is hard to read is so in every volume.
    skill = generator.normal(0, 0.5, (patients, 1))[patient]
    score = 1.2 * truth + skill + generator.normal(0, 1, truth.shape)
    return patient, truth, score > 0.9


def result_of(patient: np.ndarray, truth: np.ndarray, called: np.ndarray) -> Result:
    found = statistics(truth, called, CT_RATE_LABELS)
    rows = [{"id": str(k), "patient": int(p)} for k, p in enumerate(patient)]
    kept = {name: found[name] for name in METRICS}
    values = {name: statistic.value for name, statistic in kept.items()}
    counts = Counts(len(rows), len(rows), len(rows))
    return Result(
        "SYNTHETIC", "coverage@1", values, counts, rows=rows, statistics=kept, cluster="patient"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=int, default=1000)
    parser.add_argument("--clusters", type=int, default=200)
    parser.add_argument("--draws", type=int, default=1000)
    asked = parser.parse_args()
    _, truth, called = simulate(100_000, np.random.default_rng(12345))
    true = {name: statistics(truth, called, CT_RATE_LABELS)[name].value for name in METRICS}
    held = dict.fromkeys(METRICS, 0)
    for seed in range(asked.datasets):
        drawn = result_of(*simulate(asked.clusters, np.random.default_rng(seed)))
        found = with_intervals(drawn, draws=asked.draws, seed=seed).intervals
        for name in METRICS:
            held[name] += found[name].low <= true[name] <= found[name].high
    print(f"{asked.datasets} data sets, {asked.clusters} patients, {asked.draws} draws each")
    for name, count in held.items():
        print(f"{name:10} true {true[name]:.4f}, held in {100 * count / asked.datasets:.1f} %")


if __name__ == "__main__":
    main()
