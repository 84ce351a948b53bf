"""What the four services share. Services meet through protos/ only; this package holds no service's logic."""

from importlib.metadata import version

VERSION = version("dbmazz")
