"""The HTTP ports: FE, BE and control."""
