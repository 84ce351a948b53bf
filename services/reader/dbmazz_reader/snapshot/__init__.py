"""Loads of tables beside the stream."""
