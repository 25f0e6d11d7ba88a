"""Plan a run over the whole public index: time, memory and what would be chosen and refused.

    pip install idc-index-data
    python benchmarks/archive_idc_plan.py [--index PATH]

Runs each domain in a fresh process, so that peak memory is its own.
"""

import argparse
import dataclasses
import resource
import subprocess
import sys
import time
from pathlib import Path


def plan(domain: str, index: Path | None) -> None:
    begin = time.perf_counter()
    from longllava_domains.archive.manifest.idc import READ_FROM, plan_idc

    found = plan_idc(
        domain, seconds_per_item=20, read_bytes_per_second=500e6, workers=8, index=index
    )
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{domain}: {seconds:.1f} s, {time.process_time():.1f} s of processor, peak {peak:.0f} MiB"
    )
    for name, value in dataclasses.asdict(found).items():
        print(f"  {name}: {value}")
    print(f"  read from: { {code: READ_FROM[code] for code in found.refused} }")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--index", type=Path)
    parser.add_argument("--domain", choices=("ct", "pathology"))
    options = parser.parse_args()
    if options.domain:
        plan(options.domain, options.index)
        return
    for domain in ("ct", "pathology"):
        index = ["--index", str(options.index)] if options.index else []
        subprocess.run([sys.executable, __file__, "--domain", domain, *index], check=True)


if __name__ == "__main__":
    main()
