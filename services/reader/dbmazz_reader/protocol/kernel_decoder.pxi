# Frames and messages.

cdef class RowDecoder:
    """State between frames: the transaction, the relations, the lanes with open rows."""

    cdef public int64_t row_limit
    cdef public int64_t byte_limit
    cdef readonly bint readback
    # Lanes with rows, in order of their first row, and what they hold together.
    cdef readonly list open
    cdef readonly int64_t open_rows
    cdef readonly int64_t open_bytes
    # All rows of transactions that were committed before it are in lanes or batches.
    cdef public uint64_t committed_lsn
    # Start LSN of the last message, and the server's end as its keepalives have it.
    cdef readonly uint64_t last_lsn
    cdef readonly uint64_t server_lsn
    cdef readonly uint64_t row_count
    cdef readonly uint64_t transaction_count
    cdef readonly uint64_t unchanged_toast_count
    cdef readonly uint64_t ignored_row_count
    cdef bint in_transaction
    cdef Transaction transaction
    # The lane of each relation that the stream has described; None for one that is not replicated.
    cdef dict lanes
    # Some of them again, at relation % NEAR.
    cdef list near
    cdef uint32_t[NEAR] near_ids
    cdef bint[NEAR] near_known
    # The cells of the images at hand, as many as the widest lane has columns.
    cdef Cell *old
    cdef Cell *new
    cdef Py_ssize_t cell_capacity

    def __cinit__(self, *args, **kwargs):
        self.lanes = {}
        self.near = [None] * NEAR
        self.open = []
        self._cells(1)

    def __init__(self, row_limit, byte_limit, *, readback):
        self.row_limit = row_limit
        self.byte_limit = byte_limit
        self.readback = readback

    def __dealloc__(self):
        PyMem_Free(self.old)
        PyMem_Free(self.new)

    @property
    def xid(self):
        return self.transaction.xid if self.in_transaction else None

    def bind(self, uint32_t relation_id, PackedLane lane):
        """Tells where rows of a relation go; None to leave them out."""
        if lane is not None:
            self._cells(lane.columns)
        self.lanes[relation_id] = lane
        self.near_known[relation_id % NEAR] = False

    def is_bound(self, uint32_t relation_id):
        """True when the stream has described the relation."""
        return relation_id in self.lanes

    def lane_of(self, uint32_t relation_id):
        """The lane of a relation; None when it is left out; KeyError when it is not bound."""
        return self.lanes[relation_id]

    def take_open(self):
        """The lanes with open rows, in order of their first row; none is open afterwards."""
        taken, self.open = self.open, []
        self.open_rows = self.open_bytes = 0
        return taken

    @property
    def commit_lsn(self):
        return self.transaction.commit_lsn if self.in_transaction else 0

    @property
    def open_run(self):
        return self.transaction.serial if self.in_transaction else 0

    def decode_rows(self, list frames not None, Py_ssize_t start=0):
        """Decodes frames from index `start` on; gives the index to go on with, and why it stopped there."""
        cdef Py_ssize_t index = start
        cdef Py_buffer view
        cdef int stop
        if start < 0:
            raise IndexError("start is negative")
        while index < PyList_GET_SIZE(frames):
            PyObject_GetBuffer(frames[index], &view, PyBUF_SIMPLE)
            try:
                stop = self._frame(<const uint8_t *>view.buf, view.len)
            finally:
                PyBuffer_Release(&view)
            if stop != STOP_END:
                return index, stop
            index += 1
            if self.open_rows >= self.row_limit or self.open_bytes >= self.byte_limit:
                return index, STOP_LIMIT
        return index, STOP_END

    cdef int _frame(self, const uint8_t *frame, Py_ssize_t size) except -1:
        """One CopyData frame; why decoding must stop before it, STOP_END when it is done."""
        cdef const uint8_t *body
        cdef uint64_t lsn
        cdef uint8_t kind
        if size < 1 or frame[0] != c"w":
            if size >= 1 and frame[0] == c"k":
                return self._keepalive(frame, size)
            raise unknown_frame(bytes(frame[: min(size, 1)]))
        if size < XLOG_DATA_HEADER:
            raise malformed(frame, size, "XLogData frame is shorter than its header")
        body = frame + XLOG_DATA_HEADER
        size -= XLOG_DATA_HEADER
        lsn = load64(frame + 1)
        if size < 1:
            raise MalformedMessage("", 0, "unknown kind of message in protocol 1")
        kind = body[0]
        if kind == c"I":
            self._insert(lsn, body, size)
        elif kind == c"U":
            self._update(lsn, body, size)
        elif kind == c"D":
            self._delete(lsn, body, size)
        elif kind == c"B":
            self._begin(body, size)
        elif kind == c"C":
            self._commit(body, size)
        else:
            self.last_lsn = lsn
            return STOP_RARE
        self.last_lsn = lsn
        return STOP_END

    cdef int _keepalive(self, const uint8_t *frame, Py_ssize_t size) except -1:
        """The walsender has sent every transaction that was committed before this position, and all were decoded."""
        cdef uint64_t wal_end
        if size != KEEPALIVE_BYTES:
            raise malformed(frame, size, f"keepalive has {size} bytes, expected {KEEPALIVE_BYTES}")
        wal_end = load64(frame + 1)
        self.server_lsn = max(self.server_lsn, wal_end)
        if not self.in_transaction:
            self.committed_lsn = max(self.committed_lsn, wal_end)
        return STOP_KEEPALIVE if frame[17] else STOP_END

    cdef int _begin(self, const uint8_t *body, Py_ssize_t size) except -1:
        cdef int64_t time
        if size != BEGIN_BYTES:
            raise malformed(body, size, f"message has {size} bytes, expected {BEGIN_BYTES}")
        time = <int64_t>load64(body + 9)
        if time > INT64_MAX - EPOCH_US:
            raise malformed(body, 9, "commit time out of range")
        if self.in_transaction:
            raise malformed(body, 0, "a transaction begins within another")
        self.in_transaction = True
        self.transaction.serial += 1
        self.transaction.commit_lsn = load64(body + 1)
        self.transaction.commit_time = time + EPOCH_US
        self.transaction.xid = load32(body + 17)
        return 0

    cdef int _commit(self, const uint8_t *body, Py_ssize_t size) except -1:
        if size != COMMIT_BYTES:
            raise malformed(body, size, f"message has {size} bytes, expected {COMMIT_BYTES}")
        if not self.in_transaction or load64(body + 2) != self.transaction.commit_lsn:
            raise malformed(body, 0, "commit of a transaction that has not begun")
        self.in_transaction = False
        self.transaction_count += 1
        self.committed_lsn = max(self.committed_lsn, load64(body + 10))
        return 0

    cdef int _insert(self, uint64_t lsn, const uint8_t *body, Py_ssize_t size) except -1:
        cdef Py_ssize_t absent, at
        cdef PackedLane lane = self._lane(body, size)
        if lane is None:
            return 0
        expect_new(body, size, 5)
        at = read_image(body, size, 6, lane, self.new, &absent)
        expect_end(body, size, at)
        if absent:
            raise malformed(body, 5, "inserted row with an unchanged value")
        self._opened(lane, size)
        lane.append(INSERT, self.new, lsn, &self.transaction, <size_t>size)
        return 0

    cdef int _update(self, uint64_t lsn, const uint8_t *body, Py_ssize_t size) except -1:
        cdef Py_ssize_t absent, at
        cdef PackedLane lane = self._lane(body, size)
        if lane is None:
            return 0
        if size >= 6 and (body[5] == c"K" or body[5] == c"O"):
            return self._update_with_old(lane, lsn, body, size)
        expect_new(body, size, 5)
        at = read_image(body, size, 6, lane, self.new, &absent)
        expect_end(body, size, at)
        if absent:
            if keyless(lane, self.new):
                raise key_not_carried(lane.relation)
            self.unchanged_toast_count += absent
            lane.unchanged_toast_count += absent
        self._opened(lane, size)
        lane.append(UPDATE, self.new, lsn, &self.transaction, <size_t>size)
        if absent and lane.unread and self.readback:
            lane.ask(self.new, self.transaction.xid)
        return 0

    cdef int _update_with_old(self, PackedLane lane, uint64_t lsn, const uint8_t *body, Py_ssize_t size) except -1:
        """An update whose message has the old key or the whole old row: the key may have changed."""
        cdef Py_ssize_t at, absent, column, position
        cdef Cell *old = self.old
        cdef Cell *new = self.new
        cdef bint moved = False
        at = read_image(body, size, 6, lane, old, &absent)
        expect_new(body, size, at)
        at = read_image(body, size, at + 1, lane, new, &absent)
        expect_end(body, size, at)
        self.unchanged_toast_count += absent
        lane.unchanged_toast_count += absent
        if body[5] == c"O":
            if absent:
                # The old image under FULL has its TOAST values inline, so nothing needs to stay absent.
                for column in range(lane.columns):
                    if new[column].size == ABSENT_CELL:
                        new[column] = old[column]
        else:
            self._keep_key_only(lane, old)
            for position in range(lane.key_count):
                column = lane.keys[position]
                if new[column].size == ABSENT_CELL:
                    new[column] = old[column]
        if keyless(lane, old) or keyless(lane, new):
            raise key_not_carried(lane.relation)
        for position in range(lane.key_count):
            column = lane.keys[position]
            if not same(&old[column], &new[column]):
                moved = True
                break
        self._opened(lane, size)
        if moved:
            lane.append(DELETE, old, lsn, &self.transaction, <size_t>size)
            self.row_count += 1
            self.open_rows += 1
        lane.append(UPDATE, new, lsn, &self.transaction, <size_t>size)
        if absent and self.readback and (moved or lane.unread):
            lane.ask(new, self.transaction.xid)
        return 0

    cdef int _delete(self, uint64_t lsn, const uint8_t *body, Py_ssize_t size) except -1:
        cdef Py_ssize_t absent, at
        cdef PackedLane lane = self._lane(body, size)
        if lane is None:
            return 0
        if size < 6 or (body[5] != c"K" and body[5] != c"O"):
            raise malformed(body, min(<Py_ssize_t>5, size), "no old image")
        at = read_image(body, size, 6, lane, self.old, &absent)
        expect_end(body, size, at)
        if body[5] == c"K":
            self._keep_key_only(lane, self.old)
        if keyless(lane, self.old):
            raise key_not_carried(lane.relation)
        self._opened(lane, size)
        lane.append(DELETE, self.old, lsn, &self.transaction, <size_t>size)
        return 0

    cdef PackedLane _lane(self, const uint8_t *body, Py_ssize_t size):
        """The lane of a row message; None when its relation is left out."""
        cdef uint32_t relation_id
        cdef Py_ssize_t place
        cdef PackedLane lane
        if size < 5:
            raise malformed(body, size, "message ends within the relation")
        relation_id = load32(body + 1)
        place = relation_id % NEAR
        if not (self.near_known[place] and self.near_ids[place] == relation_id):
            if relation_id not in self.lanes:
                raise malformed(body, 1, "row of a relation that was not described before")
            self.near[place] = self.lanes[relation_id]
            self.near_ids[place] = relation_id
            self.near_known[place] = True
        if not self.in_transaction:
            raise malformed(body, 0, "row outside of a transaction")
        lane = <PackedLane>self.near[place]
        if lane is None:
            self.ignored_row_count += 1
        return lane

    cdef int _opened(self, PackedLane lane, Py_ssize_t size) except -1:
        if lane.ops.size == 0:
            self.open.append(lane)
        self.open_rows += 1
        self.open_bytes += size
        self.row_count += 1
        return 0

    cdef void _keep_key_only(self, PackedLane lane, Cell *cells) noexcept:
        """pgoutput writes NULL for what a key image does not carry; that is absence, not NULL."""
        cdef Py_ssize_t column
        for column in range(lane.columns):
            if cells[column].size == NULL_CELL and not lane.is_key[column]:
                cells[column].size = ABSENT_CELL

    cdef int _cells(self, Py_ssize_t columns) except -1:
        """Room for the cells of two images."""
        cdef void *grown
        if columns <= self.cell_capacity:
            return 0
        grown = PyMem_Realloc(self.old, <size_t>columns * sizeof(Cell))
        if grown is NULL:
            raise MemoryError
        self.old = <Cell *>grown
        grown = PyMem_Realloc(self.new, <size_t>columns * sizeof(Cell))
        if grown is NULL:
            raise MemoryError
        self.new = <Cell *>grown
        self.cell_capacity = columns
        return 0
