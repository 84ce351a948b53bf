"""Where positions are kept. `interface.py` says what a store promises."""
