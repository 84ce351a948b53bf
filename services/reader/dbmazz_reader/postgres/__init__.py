"""What the reader asks of PostgreSQL: connections, the catalogue, the slot and the publication."""
