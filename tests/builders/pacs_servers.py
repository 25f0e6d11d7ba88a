"""A DICOMweb server and a storage SCP on 127.0.0.1, small enough to read, for the PACS tests."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pydicom
from pydicom.datadict import tag_for_keyword

NAMES = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "Modality", "PatientID",
         "AccessionNumber")  # fmt: skip

BOUNDARY = b"part-of-the-answer"


class DicomWebServer:
    """Holds DICOM files in memory and answers QIDO-RS, WADO-RS and STOW-RS.

    Attributes set by tests change how it behaves: `page` caps results, `ignore_offset` and
    `ignore_filters` make it sloppy, `lose` leaves out that many images of an answer, `status`
    refuses everything, `body` replaces the answer, `delay_s` waits first, `stow` sets the
    answer to a store request, `token` demands a bearer token.
    """

    def __init__(self) -> None:
        self.files: list[bytes] = []
        self.stored: list[bytes] = []
        self.requests: list[str] = []
        self.page, self.lose, self.status, self.delay_s = 1000, 0, 0, 0.0
        self.ignore_offset = self.ignore_filters = False
        self.body: bytes | None = None
        self.stow: tuple[int, dict[str, Any]] = (200, {})
        self.token = ""
        self.url = ""

    def datasets(self) -> list[Any]:
        return [pydicom.dcmread(BytesIO(data), stop_before_pixels=True) for data in self.files]

    def rows(self, path: list[str], query: dict[str, list[str]]) -> list[dict[str, Any]]:
        """Answer a search on studies, series or instances, by the length of its path."""
        level = {1: "StudyInstanceUID", 3: "SeriesInstanceUID", 5: "SOPInstanceUID"}[len(path)]
        wanted = dict(zip(("StudyInstanceUID", "SeriesInstanceUID"), path[1::2], strict=False))
        if not self.ignore_filters:
            names = {tag_for_keyword(name): name for name in NAMES}
            asked = {f"{tag:08X}": name for tag, name in names.items() if tag is not None}
            wanted |= {asked[key]: values[0] for key, values in query.items() if key in asked}
        rows: dict[str, dict[str, Any]] = {}
        for dataset in self.datasets():
            if all(str(dataset.get(name)) == value for name, value in wanted.items()):
                row = pydicom.Dataset()
                for name in NAMES:
                    setattr(row, name, dataset.get(name, ""))
                rows[str(dataset.get(level))] = row.to_json_dict()
        start = 0 if self.ignore_offset else int(query.get("offset", ["0"])[0])
        return list(rows.values())[start : start + self.page]

    def parts(self, series_uid: str) -> bytes:
        """Return the images of a series as a multipart body."""
        images = [
            data
            for data, dataset in zip(self.files, self.datasets(), strict=True)
            if dataset.SeriesInstanceUID == series_uid
        ]
        body = b""
        for data in images[self.lose :]:
            body += b"\r\n--" + BOUNDARY + b"\r\nContent-Type: application/dicom\r\n\r\n" + data
        return body + b"\r\n--" + BOUNDARY + b"--"


class _Handler(BaseHTTPRequestHandler):
    server: "_Http"

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""

    def answer(self, status: int, body: bytes, kind: str = "application/dicom+json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refused(self) -> bool:
        state = self.server.state
        state.requests.append(self.path)
        threading.Event().wait(state.delay_s)
        status = state.status
        if state.token and self.headers.get("Authorization") != f"Bearer {state.token}":
            status = 401
        if status:
            self.answer(status, b"no Plantagenet here", "text/plain")
        return bool(status)

    def do_GET(self) -> None:
        if self.refused():
            return
        state, parts = self.server.state, urlsplit(self.path)
        path = parts.path.removeprefix("/dicom-web/").split("/")
        if state.body is not None:
            self.answer(200, state.body)
        elif path[-1] in ("studies", "series", "instances"):
            self.answer(200, json.dumps(state.rows(path, parse_qs(parts.query))).encode())
        else:
            kind = f'multipart/related; type="application/dicom"; boundary={BOUNDARY.decode()}'
            self.answer(200, state.parts(path[3]), kind)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.refused():
            return
        part = body.split(b"\r\n\r\n", 1)[1]
        self.server.state.stored.append(part[: part.rindex(b"\r\n--")])
        status, answer = self.server.state.stow
        self.answer(status, json.dumps(answer).encode())


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, state: DicomWebServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.state = state

    def handle_error(self, *arguments: Any) -> None:
        """Say nothing when a client hangs up, as the tests of limits and timeouts do."""


@contextmanager
def dicomweb_server() -> Iterator[DicomWebServer]:
    """Run a DICOMweb server on a free port of 127.0.0.1."""
    state = DicomWebServer()
    http = _Http(state)
    state.url = f"http://127.0.0.1:{http.server_port}/dicom-web"
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


class StorageScp:
    """What a C-STORE SCP received, and the status it answers with."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.callers: list[str] = []
        self.status = 0x0000
        self.port = 0


@contextmanager
def storage_scp(title: str = "ARCHIVE", sop_class: str | None = None) -> Iterator[StorageScp]:
    """Run a storage SCP that knows its own title and one SOP class (all SR by default)."""
    from pynetdicom import AE, evt
    from pynetdicom.sop_class import BasicTextSRStorage, ComprehensiveSRStorage

    state = StorageScp()

    def store(event: Any) -> int:
        data = BytesIO()
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        dataset.save_as(data, enforce_file_format=True)
        state.received.append(data.getvalue())
        state.callers.append(event.assoc.requestor.ae_title)
        return state.status

    entity = AE(ae_title=title)
    entity.require_called_aet = True
    for uid in [sop_class] if sop_class else [BasicTextSRStorage, ComprehensiveSRStorage]:
        entity.add_supported_context(uid)
    server = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)]
    )
    state.port = server.socket.getsockname()[1]
    try:
        yield state
    finally:
        server.shutdown()
