"""What Stream Load means, in values: headers, plan, rows, folding, SQL, replies. No sockets, no clock, no database."""
