"""Third-party log lines and warnings are silenced in one thread, and in that thread only."""

import logging
import threading
import warnings
from collections.abc import Iterator

import pytest

from longllava_domains.privacy import silenced

PLANTED = "DOE^JANE"


@pytest.fixture
def seen() -> Iterator[list[str]]:
    """What a handler of the user's on the root logger sees."""
    found: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    handler = Handler()
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield found
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.mark.parametrize(
    "name", ["pydicom", "urllib3.connectionpool", "rasterio._env", "PIL.Image"]
)
def test_a_library_is_silent_inside_and_heard_outside(name: str, seen: list[str]) -> None:
    logger = logging.getLogger(name)
    with silenced() as inside:
        logger.warning(PLANTED)
        logger.debug(PLANTED)
    assert seen == []
    assert inside.count == 1
    logger.warning("after")
    assert seen == ["after"]


def test_a_logger_that_is_made_later_is_silent_at_the_next_block(seen: list[str]) -> None:
    logging.getLogger("pydicom")
    with silenced():
        logging.getLogger("urllib3.made.later")
    with silenced():
        logging.getLogger("urllib3.made.later").error(PLANTED)
    assert seen == []


def test_other_loggers_are_heard_inside(seen: list[str]) -> None:
    with silenced() as inside:
        logging.getLogger("pydicomish").warning("mine")
    assert seen == ["mine"]
    assert inside.count == 0


def test_blocks_nest_and_each_counts() -> None:
    with silenced() as outer:
        with silenced() as inner:
            logging.getLogger("pydicom").warning(PLANTED)
        logging.getLogger("pydicom").warning(PLANTED)
    assert (inner.count, outer.count) == (1, 2)


def test_warnings_are_ignored_inside_whatever_the_user_chose() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with silenced():
            warnings.warn(PLANTED, UserWarning, stacklevel=1)
        with pytest.raises(UserWarning, match="outside"):
            warnings.warn("outside", UserWarning, stacklevel=1)


def test_warnings_are_recorded_outside_only() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with silenced():
            warnings.warn(PLANTED, UserWarning, stacklevel=1)
        warnings.warn("outside", UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["outside"]


def test_overlapping_threads_neither_unmute_each_other_nor_stay_mute(seen: list[str]) -> None:
    """Two calls overlap: A enters, B enters, A leaves, B logs, B leaves, A logs."""
    logger = logging.getLogger("urllib3.connectionpool")
    level = logger.level
    b_is_in, a_has_left, b_has_left = (threading.Event() for _ in range(3))

    def first() -> None:
        with silenced():
            assert b_is_in.wait(5)
        a_has_left.set()
        assert b_has_left.wait(5)
        logger.warning("heard from A")

    def second() -> None:
        with silenced():
            b_is_in.set()
            assert a_has_left.wait(5)
            logger.warning(PLANTED)
            warnings.warn(PLANTED, UserWarning, stacklevel=1)
        b_has_left.set()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        threads = [threading.Thread(target=work) for work in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert seen == ["heard from A"]
    assert caught == []
    assert logger.level == level


def test_a_family_can_be_silent_in_threads_of_its_own(seen: list[str]) -> None:
    def work() -> None:
        logging.getLogger("pynetdicom.acse").info(PLANTED)

    with silenced(everywhere="pynetdicom"), silenced(everywhere="pynetdicom"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(5)
    assert seen == []
    logging.getLogger("pynetdicom.acse").info("after")
    assert seen == ["after"]
