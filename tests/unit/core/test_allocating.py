"""What is tuned of the C library's allocator, and when it is left alone."""

import platform
import subprocess
import sys

import pytest
from dbmazz.allocating import tune_malloc

# Threads that take some memory each: a heap of their own would be 64 MB of addresses for each.
_PROGRAM = """
import re, threading
from dbmazz.allocating import tune_malloc
if {tuned}:
    assert tune_malloc({{}})
barrier = threading.Barrier(5)
def take():
    held = [bytearray(100_000) for _ in range(10)]
    barrier.wait(10)
    barrier.wait(10)
threads = [threading.Thread(target=take) for _ in range(4)]
for thread in threads:
    thread.start()
barrier.wait(10)
with open("/proc/self/maps") as maps:
    text = maps.read()
barrier.wait(10)
print(len(re.findall(r"^[0-9a-f]+00000-[0-9a-f]+ rw-p 00000000 00:00 0 *\\n[0-9a-f]+-[0-9a-f]+ ---p", text, re.M)))
"""


def heaps(*, tuned: bool) -> int:
    command = [sys.executable, "-c", _PROGRAM.format(tuned=tuned)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is tuned")
def test_threads_share_one_heap() -> None:
    assert heaps(tuned=True) < heaps(tuned=False)


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_what_somebody_has_tuned_is_left_alone(name: str) -> None:
    assert tune_malloc({name: "1"}) is False
