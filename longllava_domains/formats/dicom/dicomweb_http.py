"""Talk to a DICOMweb server: a checked address, no log lines, and errors that name no one.

URLs of DICOMweb hold study UIDs, and so do the log lines and exceptions of the libraries below.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from longllava_domains.errors import DamagedInputError, NetworkError, PolicyError
from longllava_domains.privacy import silenced
from longllava_domains.units import MIB

if TYPE_CHECKING:
    from dicomweb_client import DICOMwebClient

logger = logging.getLogger(__name__)

LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "::1")
_MOST_BYTES: Final = 64 * MIB


def checked_url(url: str, *, has_token: bool) -> None:
    """Refuse a server address that must not be used.

    Raises:
        PolicyError: It is not an http(s) address, holds credentials or a query, or would carry
            a token over an unencrypted connection to another machine.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or "@" in parts.netloc:
        raise PolicyError(
            "The server address is not a plain http or https address.",
            remedy="Give it as https://host/path, and credentials as a token.",
            code="network.address",
        )
    if parts.scheme != "http" or parts.hostname in LOCAL_HOSTS:
        return
    if has_token:
        raise PolicyError(
            "A token would travel unencrypted to another machine.",
            remedy="Use the server's https address.",
            code="network.cleartext",
        )
    warn_of_cleartext()


def warn_of_cleartext() -> None:
    """Say in the log that identifiers of patients will travel unencrypted."""
    logger.warning(
        "Patient identifiers travel unencrypted to another machine: use https, or a network that "
        "is protected as a whole."
    )


def connect(
    url: str,
    *,
    token: str | None,
    timeout_s: float,
    callback: Any = None,
    most_bytes: int = _MOST_BYTES,
) -> "DICOMwebClient":
    """Return a client that tries once, and follows `url` only as `checked_url` allows.

    Answers are bounded in bytes and time as a whole; redirects are refused, because requests and
    reports hold identifiers.

    Args:
        url: Base address of the server.
        token: Bearer token for the Authorization header.
        timeout_s: Seconds to wait for a connection, and for each piece of an answer.
        callback: Called with every response, as requests' hooks are.
        most_bytes: Longest answer.

    Raises:
        PolicyError: See `checked_url`.
    """
    from dicomweb_client import DICOMwebClient

    from longllava_domains.formats.http_limits import session

    checked_url(url, has_token=token is not None)
    headers = {"Authorization": f"Bearer {token}"} if token else None
    client = DICOMwebClient(
        url.rstrip("/"),
        session=session(timeout_s, most_bytes, redirects=False),
        headers=headers,
        timeout=timeout_s,
        callback=callback,
    )
    client.set_http_retry_params(retry=False)
    return client


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn what requests, dicomweb-client and pydicom raise into our errors, without their text.

    Args:
        what: What was asked of the server, for the message.

    Raises:
        NetworkError: The server refused, did not answer in time or could not be reached.
        DamagedInputError: The answer is not what DICOMweb says.
    """
    import requests
    from pydicom.errors import InvalidDicomError

    problem: NetworkError | DamagedInputError
    try:
        with silenced():
            yield
            return
    except requests.HTTPError as error:
        problem = _refusal(what, error.response.status_code if error.response is not None else 0)
    except requests.Timeout:
        problem = NetworkError(
            f"The server did not answer the request to {what} in time.",
            remedy="Try again, or pass a longer timeout.",
            code="network.timeout",
        )
    except requests.exceptions.SSLError:
        problem = NetworkError(
            "The server's certificate is not trusted.",
            remedy="Have the hospital's certificate authority installed on this machine.",
            code="network.certificate",
        )
    except requests.exceptions.InvalidJSONError:
        problem = _not_dicomweb(what)
    except requests.RequestException:
        problem = NetworkError(
            f"The connection failed or broke during the request to {what}.",
            remedy="Check the address, the network and that the server is running.",
            code="network.unreachable",
        )
    except (InvalidDicomError, AttributeError, LookupError, TypeError, ValueError):
        problem = _not_dicomweb(what)
    # From None: the exceptions behind it hold URLs with UIDs.
    raise problem from None


def _refusal(what: str, status: int) -> NetworkError:
    remedies = {
        401: "Pass a valid token.",
        403: "Ask the PACS administrator for permission.",
        404: "Check the address and that the study is there.",
        409: "The server did not accept the object; its administrator can see why.",
        413: "The server takes no object of this size.",
        415: "The server does not take this kind of object.",
        429: "The server is busy: try again later.",
    }
    server = "The server has a fault: try again, then ask its administrator."
    return NetworkError(
        f"The server refused the request to {what} with HTTP status {status}.",
        remedy=remedies.get(status, server if status >= 500 else "Ask the PACS administrator."),
        code="network.refused",
        facts={"http_status": status},
    )


def _not_dicomweb(what: str) -> DamagedInputError:
    return DamagedInputError(
        f"The server's answer to the request to {what} is not DICOMweb.",
        remedy="Check that the address is the server's DICOMweb base address.",
        code="dicomweb.answer",
    )
