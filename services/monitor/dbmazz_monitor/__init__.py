"""Shows the ring on a web page."""
