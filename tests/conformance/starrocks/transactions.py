"""A client of the transaction interface: through the FE, following its redirects as curl --location-trusted does."""

import json
from typing import Any

from tests.unit.sandbox_starrocks.conftest import Database, basic

TABLE1 = "CREATE TABLE table1 (id INT, name VARCHAR(100)) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 1"
STRICT = (
    "CREATE TABLE table_strict (id INT, name VARCHAR(100), required_col BIGINT NOT NULL) "
    "DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 1"
)


class Transactions:
    """`hops` are the URLs of the last call, FE first; `text` its last body as it came."""

    def __init__(self, db: Database, *, multi: bool = False) -> None:
        self._db, self._multi = db, multi
        self.hops: list[str] = []
        self.text = ""

    def label(self, name: str) -> str:
        """A label of this test: a BE, and the FE for several tables, keep labels of all databases in one place."""
        return f"{name}_{self._db.name}"

    async def call(self, operation: str, label: str, body: bytes = b"", **headers: str) -> dict[str, Any]:
        given = {"Authorization": basic(), "db": self._db.name, "label": self.label(label), "Expect": "100-continue"}
        if self._multi:
            given["transaction_type"] = "multi"
        given |= {name.replace("__", "-"): value for name, value in headers.items()}
        url = f"{self._db.sandbox.fe_url}/api/transaction/{operation}"
        self.hops = []
        method = "PUT" if operation == "load" else "POST"
        while True:
            self.hops.append(url)
            request = self._db.http.request(method, url, data=body, headers=given, allow_redirects=False)
            async with request as response:
                if response.status == 307:
                    url = response.headers["Location"]
                    continue
                assert response.status == 200, (response.status, await response.text())
                self.text = await response.text()
                return json.loads(self.text)

    async def status(self, operation: str, label: str, body: bytes = b"", **headers: str) -> str:
        return (await self.call(operation, label, body, **headers))["Status"]

    async def load(self, label: str, table: str, *rows: dict[str, Any], **headers: str) -> dict[str, Any]:
        body = b"\n".join(json.dumps(row).encode() for row in rows)
        return await self.call("load", label, body, table=table, format="json", **headers)
