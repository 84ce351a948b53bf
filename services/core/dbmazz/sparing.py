"""Imports grpc and structlog without what they bring along unasked, if it is installed: 4 MB of every service.

structlog takes rich for tracebacks in colours, grpc takes grpc_tools. Services do without; the command and the monitor's
terminal do not. To be imported before anything else of a service.
"""

from __future__ import annotations

import sys

_UNASKED = ("rich", "grpc_tools")

_absent = [name for name in _UNASKED if name not in sys.modules]
# None means: there is no such module.
sys.modules.update(dict.fromkeys(_absent))  # type: ignore[arg-type]
try:
    import grpc  # noqa: F401
    import structlog  # noqa: F401
finally:
    for _name in _absent:
        del sys.modules[_name]
