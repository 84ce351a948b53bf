"""The kernel is compiled; everything else about this distribution is in pyproject.toml."""

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from kernel_build import extensions

setup(ext_modules=extensions())
