"""Logging on a full disk: nothing is raised, and what is missing is told once there is room again."""

import errno
import io

import pytest
from dbmazz.telemetry import FullDisk


class Disk(io.StringIO):
    """Takes nothing while `error` is set."""

    error: int = 0

    def flush(self) -> None:
        if self.error:
            raise OSError(self.error, "refused")


def line(log: FullDisk, text: str) -> None:
    print(text, file=log, flush=True)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_lines_that_came_late_are_counted(number: int):
    disk = Disk()
    log = FullDisk(disk)
    line(log, "one")
    disk.error = number
    line(log, "two")
    line(log, "three")
    assert "late" not in disk.getvalue()
    disk.error = 0
    line(log, "four")
    line(log, "five")
    assert disk.getvalue().splitlines()[-2:] == [
        "2 lines of this log came late or not at all: the disk was full",
        "five",
    ]


def test_other_errors_are_errors():
    disk = Disk()
    disk.error = errno.EPIPE
    with pytest.raises(BrokenPipeError):
        line(FullDisk(disk), "one")
