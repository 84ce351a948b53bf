"""The dbmazz command."""
