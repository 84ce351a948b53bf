"""What can go wrong with the embedded server, in one line that names the thing and the way out."""


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot be prepared, started or stopped; the message is for people."""
