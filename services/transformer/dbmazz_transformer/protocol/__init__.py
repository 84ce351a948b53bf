"""Folding, grouping and encoding: bytes and values in, values out. No event loop, socket, clock or driver."""
