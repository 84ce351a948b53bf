"""Labels of Stream Loads: a window that is sent again meets its own label."""

from __future__ import annotations

import hashlib
import re

# StarRocks' own rule for labels (FeNameFormat.LABEL_REGEX), in ASCII.
LABEL = re.compile(r"^[-\w]{1,128}\Z", re.ASCII)
_MAX = 128
_DIGEST = 12


def load_label(slot: str, epoch: int, lane: int, first: int, last: int, part: int) -> str:
    """`{slot}_{epoch}_{lane}_{first}-{last}_{part}`, at most 128 characters of [-A-Za-z0-9_].

    A slot name that is too long or holds other characters is shortened to a prefix and a hash of the whole.
    """
    tail = f"_{epoch}_{lane}_{first}-{last}_{part}"
    room = _MAX - len(tail)
    if len(slot) > room or not LABEL.match(slot):
        digest = hashlib.sha256(slot.encode()).hexdigest()[:_DIGEST]
        prefix = re.sub(r"[^-\w]", "_", slot, flags=re.ASCII)[: max(room - _DIGEST - 1, 0)]
        slot = f"{prefix}-{digest}"
    return slot + tail
