"""The transaction interface `/api/transaction/{begin|load|prepare|commit|rollback}` (starrocks.md 4).

`operation` reads a request, `reply` prints answers, `coordinated` holds the transactions of one table, each on the BE
that coordinates it, `frontend` what the FE says to them, `multi` those of several tables, which the FE holds itself.
"""
