"""The monitor in a terminal: the same state as the page's, drawn with rich. Needs the extra `terminal`."""
