"""What the four services share. Services meet through protos/ only; this package holds no service's logic."""

# Here, and pyproject.toml takes it from here: importlib.metadata would cost every service 1.8 MB to ask for it.
VERSION = "0.1.0"
