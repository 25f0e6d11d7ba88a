"""The site secret, and the keyed ids that are made with it.

A plain hash of a study UID is reversed by trying the UIDs of a site; with a secret it is not. Who
has the secret and the archive can tie results to patients: results are pseudonymised, not
anonymous.
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from longllava_domains.archive.results.parts import place_whole
from longllava_domains.arguments import checked
from longllava_domains.errors import DamagedInputError, NotFoundError, OutputError

_BYTES: Final = 32
_DIGITS: Final = 32


class SiteSecret:
    """Makes keyed ids.

    Args:
        secret: At least 32 random bytes.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < _BYTES:
            raise DamagedInputError(
                f"The site secret has {len(secret)} bytes; at least {_BYTES} are needed.",
                remedy="Restore the file of the secret, or scan anew with another one.",
                code="archive.secret",
            )
        self._secret = secret

    @classmethod
    @checked
    def load(cls, path: Path) -> "SiteSecret":
        """Read the secret, or make one where there is none, readable by its owner alone.

        Raises:
            DamagedInputError: The file holds no secret.
            OutputError: It cannot be read or made.
        """
        try:
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                place_whole(path, memoryview(secrets.token_bytes(_BYTES)), mode=0o600)
            return cls(path.read_bytes())
        except OSError as error:
            raise OutputError(
                f"The site secret cannot be read or made ({os.strerror(error.errno or 0)}).",
                remedy="Name a file that you may read, or a new one in a folder of your own.",
                code="archive.secret",
            ) from None

    def key(self, kind: str, parts: Iterable[str | bytes]) -> str:
        """Return 32 hexadecimal digits that stand for byte strings, in order, of one kind."""
        digest = hmac.new(self._secret, kind.encode(), hashlib.sha256)
        for part in parts:
            data = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
            digest.update(len(data).to_bytes(8, "big"))
            digest.update(data)
        return digest.hexdigest()[:_DIGITS]

    @property
    def check(self) -> str:
        """Digits by which another scan sees that it has the same secret."""
        return self.key("check", ())


@contextmanager
def scanning_with(path: Path) -> Iterator[SiteSecret]:
    """Lend the secret for a scan; one that was made for a scan that finds nothing goes again.

    Raises:
        DamagedInputError: The file holds no secret.
        OutputError: It cannot be read or made.
    """
    is_new = not path.exists()
    secret = SiteSecret.load(path)
    try:
        yield secret
    except NotFoundError:
        if is_new:
            path.unlink(missing_ok=True)
        raise


def default_secret() -> Path:
    """Return where the secret lies if the user names no place."""
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(home) / "longllava" / "site_secret"
