"""A decoding worker whose decoders crash, hang, grow, complain and print, as real ones have done."""

import ctypes
import os
import sys
from typing import Any

import numpy as np

from longllava_domains.formats.decoding.worker import serve
from longllava_domains.formats.dicom.codecs import decode_frame


def crash(data: bytes, *_: object) -> tuple[Any, int]:
    ctypes.string_at(0)
    return data, 0


def hang(data: bytes) -> tuple[Any, int]:
    while True:
        pass


def grow(data: bytes) -> tuple[Any, int]:
    return np.ones(2**31, np.uint8), 0


def complain(data: bytes) -> tuple[Any, int]:
    class Dropped:
        def __del__(self) -> None:
            raise ValueError("an error that the decoder cannot raise")

    Dropped()
    return np.zeros(4, np.uint8), 0


def give_little(data: bytes) -> tuple[Any, int]:
    return np.zeros(2, np.uint8), 0


def chat(data: bytes) -> tuple[Any, int]:
    print('{"number": 7}')
    sys.stdout.flush()
    os.write(1, b"noise\n")
    os.write(2, b"SECRET^NAME\n")
    return np.frombuffer(data, np.uint8), 3


def tell_environment(data: bytes) -> tuple[Any, int]:
    return np.frombuffer(data, np.uint8), int("LONGLLAVA_TOKEN" in os.environ)


if __name__ == "__main__":
    functions = (crash, hang, grow, complain, give_little, chat, tell_environment)
    tasks = {function.__name__: function for function in functions}
    serve(int(sys.argv[1]), {**tasks, "frame": decode_frame, "describe": crash, "detect": crash})
