"""The FE's MySQL port."""
