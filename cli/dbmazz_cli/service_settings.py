"""Which settings each service reads, for its --help."""

from __future__ import annotations

_SERVING = (
    "listen",
    "log_level",
    "log_format",
    "grpc_max_message_bytes",
    "grpc_compression",
    "grpc_tls_cert",
    "grpc_tls_key",
    "grpc_tls_ca",
    "grpc_allow_plaintext",
)
_MEASURED = (*_SERVING, "metrics_port")
_SINK = ("sink_url", "sink_port", "sink_database", "sink_user", "sink_password")

READS: dict[str, tuple[str, ...]] = {
    "reader": (
        "source_url",
        "source_slot_name",
        "source_publication_name",
        "source_set_replica_identity",
        "tables",
        "do_snapshot",
        "initial_snapshot_only",
        "snapshot_chunk_size",
        "snapshot_workers",
        "snapshot_bytes",
        "toast_readback",
        "checkpoint_address",
        "retained_bytes",
        "batch_rows",
        "batch_bytes",
        "batch_interval_ms",
        "coalesce_max_ms",
        "flush_interval_ms",
        "status_interval_s",
        "control_token",
        *_MEASURED,
    ),
    "transformer": (
        "reader_address",
        "loader_address",
        "flush_size",
        "flush_interval_ms",
        "flush_bytes",
        "soft_delete",
        "version_guard",
        "load_timeout_s",
        *_MEASURED,
    ),
    "loader": (
        *_SINK,
        "sink_replication_num",
        "checkpoint_address",
        "soft_delete",
        "version_guard",
        "load_timeout_s",
        "load_compression",
        *_MEASURED,
    ),
    "checkpoint": ("checkpoint_url", *_MEASURED),
    "monitor": (
        "source_url",
        "source_slot_name",
        "source_publication_name",
        *_SINK,
        "reader_address",
        "transformer_address",
        "loader_address",
        "checkpoint_address",
        *_MEASURED,
    ),
}
