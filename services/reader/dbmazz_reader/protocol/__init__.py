"""Sans-IO: bytes and values in, values out. No socket, clock, gRPC or driver."""
