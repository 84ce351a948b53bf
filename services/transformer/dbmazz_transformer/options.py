"""What all lanes share: limits of windows, how rows are written, pauses."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dbmazz.config import Settings
from dbmazz.v1 import reader_pb2

from dbmazz_transformer.protocol.window import WindowLimits


@dataclass(frozen=True)
class LaneOptions:
    """`version_guard`: auto, on or off. The pauses are in seconds; those between retries grow from first to cap."""

    limits: WindowLimits
    soft_delete: bool = True
    version_guard: str = "auto"
    retry_first_s: float = 0.2
    retry_cap_s: float = 10.0
    park_first_s: float = 2.0
    park_cap_s: float = 30.0

    @classmethod
    def from_settings(cls, settings: Settings) -> LaneOptions:
        """What the variables say."""
        limits = WindowLimits(settings.flush_size, settings.flush_bytes, settings.flush_interval_ms / 1000)
        return cls(limits, soft_delete=settings.soft_delete, version_guard=settings.version_guard)

    def told(self, flush: reader_pb2.FlushSettings | None) -> LaneOptions:
        """With the limits that the reader tells; what it leaves open stays as it is here."""
        limits = self.limits
        if flush is not None and flush.HasField("flush_size"):
            limits = replace(limits, rows=flush.flush_size)
        if flush is not None and flush.HasField("flush_interval"):
            limits = replace(limits, age_s=flush.flush_interval.ToMilliseconds() / 1000)
        return replace(self, limits=limits)

    def shown(self) -> dict[str, str]:
        """The variables behind the limits, as they hold now."""
        return {"FLUSH_SIZE": str(self.limits.rows), "FLUSH_INTERVAL_MS": str(round(self.limits.age_s * 1000))}
