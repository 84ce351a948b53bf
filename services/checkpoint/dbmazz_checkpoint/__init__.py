"""Keeps the LSN that is safe to confirm: stored first, announced after."""
