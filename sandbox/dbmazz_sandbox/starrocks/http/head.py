"""The head of a request as netty's HttpObjectDecoder counts it, line ends not included. No I/O."""

from __future__ import annotations

MAX_LINE = 4096  # http_max_initial_line_length of the FE
MAX_HEADERS = 32768  # http_max_header_size
LINE_TOO_LARGE = f"An HTTP line is larger than {MAX_LINE} bytes."
HEADER_TOO_LARGE = f"HTTP header is larger than {MAX_HEADERS} bytes."


class Head:
    """Collects bytes up to the empty line. `problem` is netty's message once a limit is passed, "" until then."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.done = False
        self.problem = ""
        self._line_start = 0
        self._headers = -1  # bytes of the header lines so far; -1 in the request line

    @property
    def has_line(self) -> bool:
        """Whether the request line is complete."""
        return self._headers >= 0

    def feed(self, data: bytes) -> None:
        """`data` keeps everything, also what follows the head."""
        self.data += data
        while not self.done and not self.problem:
            end = self.data.find(b"\n", self._line_start)
            line = self.data[self._line_start : end if end >= 0 else None].rstrip(b"\r")
            self._count(len(line))
            if end < 0:
                return
            if self._headers < 0:
                # Empty lines before a request are skipped, as netty's SKIP_CONTROL_CHARS does.
                self._headers = 0 if line else -1
            elif line:
                self._headers += len(line)
            else:
                self.done = True
            self._line_start = end + 1

    def _count(self, length: int) -> None:
        if self._headers < 0:
            self.problem = LINE_TOO_LARGE if length > MAX_LINE else ""
        elif self._headers + length > MAX_HEADERS:
            self.problem = HEADER_TOO_LARGE
