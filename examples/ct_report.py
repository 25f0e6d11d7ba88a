"""Draft a report on the example CT, in a dozen lines.

python examples/ct_report.py
"""

from pathlib import Path

from longllava_domains import ct, pipelines


def main() -> None:
    """Open the phantom, show six slices in two windows, and print the draft and its provenance."""
    volume = ct.open_volume(Path(__file__).parent / "chest_phantom")
    policy = ct.SlicePolicy(count=3, windows=(ct.LUNG, ct.MEDIASTINUM), view_px=336)
    report = pipelines.CTReport.from_pretrained("demo")(volume, policy=policy, max_new_tokens=16)
    print(report.to_text())
    print(report.provenance["load_report"], report.provenance["prompt_sha256"][:8])


if __name__ == "__main__":
    main()
