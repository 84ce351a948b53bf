"""What StarRocks is told and what it answers, as values: no sockets, no clock, no gRPC."""
