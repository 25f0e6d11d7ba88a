"""Answers of servers, bounded in bytes and in time as a whole, for everything that uses requests.

The timeouts of HTTP libraries are for each piece of an answer: a server that sends one byte a
second, or never stops, outlasts all of them.
"""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import requests
from requests.adapters import HTTPAdapter

from longllava_domains.errors import NetworkError, UnsupportedInputError
from longllava_domains.units import MIB, human_bytes

_PIECE: Final = 64 * 1024
# An answer may go on for as long as it comes at least this fast, after a grace period.
_SLOWEST_BYTES_PER_S: Final = 16 * 1024
_GRACE: Final = 4.0  # times the timeout of one piece

Result = TypeVar("Result")


class BoundedAdapter(HTTPAdapter):  # type: ignore[misc]  # requests publishes no types
    """Sends requests whose answers end: in bytes, in time, and without redirects unless allowed.

    Args:
        timeout_s: Seconds to wait for each piece; four times as long for an answer to begin.
        most_bytes: Longest answer, after decompression.
        redirects: Follow redirects, as requests does.
    """

    def __init__(self, timeout_s: float, most_bytes: int, *, redirects: bool) -> None:
        super().__init__()
        self.timeout_s = timeout_s
        self.most_bytes = most_bytes
        self.redirects = redirects

    def send(self, request: Any, *args: Any, **options: Any) -> Any:
        """Send a request and return its bounded response.

        Raises:
            NetworkError: The server redirects where that is not allowed.
            requests.Timeout: No answer began in time.
        """
        options["timeout"] = options.get("timeout") or self.timeout_s
        whole = super().send
        response = within(_GRACE * self.timeout_s, lambda: whole(request, *args, **options))
        if response is None:
            raise requests.Timeout
        if 300 <= response.status_code < 400 and not self.redirects:
            response.close()
            raise NetworkError(
                "The server sends the request on to another address, which is not followed.",
                remedy="Give the final address, if you trust it; identifiers go only where you say.",
                code="network.redirect",
                facts={"http_status": response.status_code},
            )
        declared = str(response.headers.get("Content-Length", ""))
        if declared.isdecimal() and int(declared) > self.most_bytes:
            raise too_long(self.most_bytes)
        response.raw = _BoundedBody(response.raw, self.most_bytes, _GRACE * self.timeout_s)
        return response


class _BoundedBody:
    """The body of a response, for requests to stream from; all else is the response's own."""

    def __init__(self, raw: Any, most_bytes: int, grace_s: float) -> None:
        self._raw = raw
        self._most_bytes = most_bytes
        self._grace_s = grace_s

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def stream(
        self, _amount: int | None = None, decode_content: bool | None = None
    ) -> Iterator[bytes]:
        """Yield pieces as they come.

        Raises:
            UnsupportedInputError: More bytes than allowed.
            requests.Timeout: They come too slowly.
        """
        started = time.monotonic()
        received = 0
        while True:
            piece = self._raw.read1(_PIECE, decode_content=decode_content)
            if not piece:
                return
            received += len(piece)
            if received > self._most_bytes:
                raise too_long(self._most_bytes)
            if time.monotonic() - started > self._grace_s + received / _SLOWEST_BYTES_PER_S:
                raise requests.Timeout
            yield piece


def session(timeout_s: float, most_bytes: int = 64 * MIB, *, redirects: bool) -> requests.Session:
    """Return a session whose answers are bounded; see `BoundedAdapter`."""
    made = requests.Session()
    bound(made, timeout_s, most_bytes, redirects=redirects)
    return made


def bound(
    made: requests.Session, timeout_s: float, most_bytes: int = 64 * MIB, *, redirects: bool
) -> None:
    """Bound the answers to a session that a library made."""
    for scheme in ("http://", "https://"):
        made.mount(scheme, BoundedAdapter(timeout_s, most_bytes, redirects=redirects))


def within(seconds: float, work: Callable[[], Result]) -> Result | None:
    """Return what some work gives, or None where it has not ended in time.

    It then goes on in a thread of its own, that the end of the program does not wait for.
    """
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        """Do the work and keep its result or its error."""
        from longllava_domains.privacy import silenced

        try:
            with silenced():
                results.append(work())
        except BaseException as error:  # raised again, in the thread that asked
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    return results[0] if results else None


def too_long(most_bytes: int) -> UnsupportedInputError:
    """Return the error for an answer that does not end."""
    return UnsupportedInputError(
        f"The server's answer is longer than {human_bytes(most_bytes)}.",
        remedy="Ask for less, or fetch it with the server's own tool.",
        code="network.too_long",
        facts={"most_bytes": most_bytes},
    )
