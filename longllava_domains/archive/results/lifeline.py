"""Proof that a process still lives, without a clock: it holds a lock that its death releases.

The lock is `flock` on a file of its own. The kernel lets it go however the process ends, and no
jump of a clock, no reuse of a process id and no long pause looks like a death. It holds on one
machine; use a local disk.
"""

import fcntl
import os
import secrets
from pathlib import Path

from longllava_domains.archive.results.parts import writing


class Lifeline:
    """This process as one worker of a ledger.

    Args:
        folder: Where the lock files of all workers of that ledger lie.

    Attributes:
        worker: Name of this worker.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.worker = secrets.token_hex(8)
        with writing():
            folder.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(folder / self.worker, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(self._handle, fcntl.LOCK_EX)

    def is_alive(self, worker: str) -> bool:
        """Return whether another worker, or this one, still lives."""
        if worker == self.worker:
            return True
        try:
            handle = os.open(self._folder / worker, os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        (self._folder / worker).unlink(missing_ok=True)
        return False

    def others(self) -> list[str]:
        """Return the workers that live beside this one."""
        found = os.listdir(self._folder)
        return [worker for worker in found if worker != self.worker and self.is_alive(worker)]

    def end(self) -> None:
        """Let go of the lock."""
        (self._folder / self.worker).unlink(missing_ok=True)
        os.close(self._handle)
