"""The allocator keeps what bodies of megabytes are made of, instead of having it zeroed by the kernel at every copy."""

import os
import platform
import subprocess
import sys

import pytest

# Page faults of 50 bodies of 4 MB (1,024 pages each), after the first.
_SCRIPT = """
import resource
from dbmazz.allocator import keep_freed_memory
if {tuned}:
    keep_freed_memory()
bytes(bytearray(4 << 20))
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    bytes(bytearray(4 << 20))
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(*, tuned: bool, **environment: str) -> int:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", _SCRIPT.format(tuned=tuned)]
    return int(subprocess.run(command, env={**kept, **environment}, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator is tuned")
def test_freed_bodies_are_used_again_without_a_page_fault():
    assert page_faults(tuned=True) < 1024 < page_faults(tuned=False)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator is tuned")
def test_the_environment_comes_first():
    assert page_faults(tuned=True, MALLOC_MMAP_THRESHOLD_="131072", MALLOC_TRIM_THRESHOLD_="131072") > 1024
