"""Folds changes per key, groups them by TOAST signature, and writes the JSON of Stream Loads."""
