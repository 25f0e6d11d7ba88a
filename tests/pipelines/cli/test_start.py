"""The command ends in silence when it is interrupted, also while its libraries are being loaded."""

import signal
import subprocess
import sys
import time

import pytest


@pytest.mark.parametrize("seconds", [0.3, 0.8])
def test_ctrl_c_at_once_shows_no_traceback(seconds: float) -> None:
    start = "from longllava_domains.pipelines.cli import start; print('begun', flush=True); start()"
    with subprocess.Popen(
        [sys.executable, "-c", start, "doctor"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as program:  # fmt: skip
        assert program.stdout is not None
        assert program.stdout.readline() == "begun\n"
        time.sleep(seconds)
        program.send_signal(signal.SIGINT)
        _, told = program.communicate(timeout=60)
    assert "Traceback" not in told
    assert program.returncode == 130
