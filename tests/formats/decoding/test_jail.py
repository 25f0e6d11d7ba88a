"""Decoders that crash, hang, grow or complain do so alone, and end as one of our errors."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from longllava_domains.errors import DamagedInputError, UnsupportedInputError
from longllava_domains.formats.decoding import frames, jail
from longllava_domains.formats.decoding.jail import Jail
from longllava_domains.formats.decoding.job import DecodingJob
from longllava_domains.formats.dicom import codecs

BUILDERS = Path(__file__).parents[2] / "builders"
SYNTAXES = (codecs.RLE, *("1.2.840.10008.1.2.4." + end for end in ("57", "70", "80", "90", "201")))

pytestmark = pytest.mark.skipif(
    not jail.CAN_JAIL, reason="child processes are jailed on POSIX only"
)


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> Iterator[Jail]:
    monkeypatch.setenv("PYTHONPATH", str(BUILDERS))
    made = Jail(cpu_seconds=1.0, module="hostile_worker")
    yield made
    made.close()


def job(task: str, data: bytes = b"1234") -> DecodingJob:
    return DecodingJob(task, data, (), (4,), np.uint8)


@pytest.mark.parametrize(
    ("task", "code"),
    [
        ("crash", "decoding.crash"),
        ("hang", "decoding.time"),
        ("grow", "decoding.memory"),
        ("complain", "decoding.failed"),
        ("give_little", "decoding.failed"),
        ("absent", "decoding.failed"),
    ],
)
def test_a_decoder_that_goes_wrong_is_a_damaged_input(hostile: Jail, task: str, code: str) -> None:
    with pytest.raises(DamagedInputError) as refused:
        hostile.run(job(task))
    assert refused.value.code == code
    pixels, number = hostile.run(job("chat"))  # and the next image is decoded
    assert (pixels.tobytes(), number) == (b"1234", 3)


def test_what_a_decoder_prints_is_no_answer_and_reaches_no_terminal(
    hostile: Jail, capfd: pytest.CaptureFixture[str]
) -> None:
    assert hostile.run(job("chat"))[1] == 3
    assert capfd.readouterr() == ("", "")


def test_a_decoder_sees_no_token(hostile: Jail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGLLAVA_TOKEN", "secret")
    assert hostile.run(job("tell_environment"))[1] == 0


def test_images_of_growing_and_shrinking_size_share_one_worker(hostile: Jail) -> None:
    for size in (4, 5_000_000, 10, 12_000_000, 1):
        data = bytes(size % 251 for _ in range(1)) * size
        pixels, _ = hostile.run(DecodingJob("chat", data, (), (size,), np.uint8))
        assert pixels.tobytes() == data


def test_more_pixels_than_the_limit_are_refused_before_any_process_starts() -> None:
    empty = Jail(module="no_such_module")
    with pytest.raises(UnsupportedInputError) as refused:
        empty.run(DecodingJob("frame", b"", (), (65535, 65535), np.uint16))
    assert refused.value.code == "decoding.pixels"
    with pytest.raises(UnsupportedInputError) as refused:
        empty.run(job("frame"))
    assert refused.value.code == "decoding.start"


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_the_jail_decodes_as_the_codecs_do(dicom, syntax: str) -> None:  # type: ignore[no-untyped-def]
    image = dicom.phantom()[0].view(np.uint16) & 0x0FFF
    data = dicom.encode(image, syntax)
    pixels, precision = frames.decode_frame(data, syntax, *image.shape)
    expected, expected_precision = codecs.decode_frame(data, syntax, *image.shape)
    np.testing.assert_array_equal(pixels, expected)
    assert precision == expected_precision


def test_our_own_refusals_come_back_with_their_code_and_facts() -> None:
    import imagecodecs

    colour = imagecodecs.jpeg8_encode(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(UnsupportedInputError) as refused:
        frames.decode_frame(colour, SYNTAXES[1], 8, 8)
    assert (refused.value.code, refused.value.facts["components"]) == ("ct.codestream", 3)


def test_threads_get_their_own_images(hostile: Jail) -> None:
    def decode(number: int) -> bool:
        data = bytes([number]) * 4096
        pixels, _ = hostile.run(DecodingJob("chat", data, (), (4096,), np.uint8))
        return pixels.tobytes() == data

    with ThreadPoolExecutor(3) as pool:
        assert all(pool.map(decode, range(60)))
    assert threading.active_count() < 20


def test_a_forked_child_does_not_talk_to_its_parents_workers(hostile: Jail) -> None:
    hostile.run(job("chat"))
    child = os.fork()
    if child == 0:
        os._exit(0 if hostile.run(job("chat", b"abcd"))[0].tobytes() == b"abcd" else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert hostile.run(job("chat", b"efgh"))[0].tobytes() == b"efgh"


def test_a_script_needs_no_guard_and_nothing_of_the_working_folder_is_imported(
    tmp_path: Path,
    dicom,  # type: ignore[no-untyped-def]
) -> None:
    (tmp_path / "imagecodecs.py").write_text("raise SystemExit('imported')")
    (tmp_path / "scripts").mkdir()
    image = dicom.phantom()[0].view(np.uint16) & 0x0FFF
    (tmp_path / "frame").write_bytes(dicom.encode(image, SYNTAXES[1]))
    script = tmp_path / "scripts" / "script.py"
    script.write_text(
        "import pathlib\n"
        "from longllava_domains.formats.decoding.frames import decode_frame\n"
        f"data = pathlib.Path('frame').read_bytes()\n"
        f"print(decode_frame(data, {SYNTAXES[1]!r}, {image.shape[0]}, {image.shape[1]})[0].sum())\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == int(image.sum())
    assert done.stderr == ""
