"""Reads the write-ahead log of one replication slot and streams packed changes to the transformers."""
