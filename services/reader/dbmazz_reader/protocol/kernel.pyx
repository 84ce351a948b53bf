# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""CopyData frames to packed rows per lane, many frames per call: the reader's hot loop.

Rows of known relations, Begin, Commit and keepalives that want no answer are done here entirely; a frame of any other kind
stops the call at its index.
Every length that comes from outside is held against what is left of its frame before it is used, a row is read to its end
before the first byte of it is stored, and what does not fit is a MalformedMessage with letter and offset. kernel.pyi has
the signatures; tests/reference/reader has the same in plain Python, held to the same tests.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.list cimport PyList_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from libc.stdint cimport INT32_MAX, INT64_MAX, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

cdef extern from "Python.h":
    PyObject *PyBytes_FromStringAndSize(const char *, Py_ssize_t) except NULL
    char *PyBytes_AS_STRING(PyObject *)
    int _PyBytes_Resize(PyObject **, Py_ssize_t) except -1
    void Py_XDECREF(PyObject *)

from dbmazz_reader.protocol.frames import POSTGRES_EPOCH_US as _EPOCH_US
from dbmazz_reader.protocol.frames import unknown_frame
from dbmazz_reader.protocol.malformed import MalformedMessage
from dbmazz_reader.protocol.readbacks import Readback
from dbmazz_reader.protocol.relations import key_not_carried

# Why a call of `decode_rows` stopped.
END = 0
LIMIT = 1
KEEPALIVE = 2
RARE = 3

cdef enum:
    STOP_END = 0
    STOP_LIMIT = 1
    STOP_KEEPALIVE = 2
    STOP_RARE = 3
    # Lengths of cells, of dbmazz.rows.
    NULL_CELL = -1
    ABSENT_CELL = -2
    # Operation of types.proto.
    INSERT = 1
    UPDATE = 2
    DELETE = 3
    # u8 'w' · u64 start LSN of the data · u64 end LSN of the server's WAL · i64 send time
    XLOG_DATA_HEADER = 25
    # u8 'k' · u64 end LSN of what was sent · i64 send time · u8 reply requested
    KEEPALIVE_BYTES = 18
    # u8 'B' · u64 LSN of the commit record · i64 commit time · u32 xid
    BEGIN_BYTES = 21
    # u8 'C' · u8 flags · u64 LSN of the commit record · u64 end LSN of the transaction · i64 commit time
    COMMIT_BYTES = 26
    # Relations whose lane is found without asking the dict.
    NEAR = 64

cdef int64_t EPOCH_US = _EPOCH_US


cdef struct Cell:
    # A value within the frame; `size` NULL_CELL or ABSENT_CELL when there is none.
    const uint8_t *at
    int32_t size


cdef struct Block:
    # A bytes object that grows, and where its bytes are. It is given away when it is taken, so nothing is copied, and a
    # thousand lanes do not each hold on to their largest batch. `likely` is what was needed then, and what is asked for
    # first next time.
    PyObject *whole
    uint8_t *at
    size_t size
    size_t capacity
    size_t likely


cdef struct Transaction:
    # What its rows share. `serial` counts Begins from 1; `commit_time` in microseconds since 1970.
    uint64_t serial
    uint64_t commit_lsn
    int64_t commit_time
    uint32_t xid


def complete_frames(take):
    """All frames that `take(1)` has."""
    cdef list frames = []
    cdef Py_ssize_t total = 0, size
    while True:
        answer = <tuple?>take(1)
        size, frame = answer
        if size <= 0:
            return frames, total, size
        frames.append(frame)
        total += size


cdef inline uint16_t load16(const uint8_t *at) noexcept:
    return <uint16_t>((<uint32_t>at[0] << 8) | at[1])


cdef inline uint32_t load32(const uint8_t *at) noexcept:
    return (<uint32_t>at[0] << 24) | (<uint32_t>at[1] << 16) | (<uint32_t>at[2] << 8) | at[3]


cdef inline uint64_t load64(const uint8_t *at) noexcept:
    return (<uint64_t>load32(at) << 32) | load32(at + 4)


cdef inline void store32(uint8_t *at, uint32_t value) noexcept:
    at[0] = <uint8_t>(value & 0xFF)
    at[1] = <uint8_t>((value >> 8) & 0xFF)
    at[2] = <uint8_t>((value >> 16) & 0xFF)
    at[3] = <uint8_t>(value >> 24)


cdef inline void store64(uint8_t *at, uint64_t value) noexcept:
    store32(at, <uint32_t>(value & 0xFFFFFFFFU))
    store32(at + 4, <uint32_t>(value >> 32))


cdef int grow(Block *block, size_t more) except -1:
    """Makes room for `more` bytes behind what is there; all is as it was when memory is short."""
    cdef size_t wanted
    cdef PyObject *grown
    if more > (<size_t>-1 >> 2) - block.size:
        raise MemoryError
    wanted = max(block.size + more, max(2 * block.capacity, max(block.likely, <size_t>64)))
    grown = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>wanted)
    if block.size:
        memcpy(PyBytes_AS_STRING(grown), block.at, block.size)
    Py_XDECREF(block.whole)
    block.whole = grown
    block.at = <uint8_t *>PyBytes_AS_STRING(grown)
    block.capacity = wanted
    return 0


cdef inline int reserve(Block *block, size_t more) except -1:
    if more > block.capacity - block.size:
        grow(block, more)
    return 0


cdef bytes take(Block *block):
    """The bytes; the block is empty afterwards."""
    cdef bytes taken = b""
    cdef size_t size = block.size
    if size:
        block.likely = size
        # Nobody else has the object, so it may change its size. When memory is short it is gone.
        block.size = 0
        _PyBytes_Resize(&block.whole, <Py_ssize_t>size)
        taken = <bytes>block.whole
    release(block)
    return taken


cdef inline void release(Block *block) noexcept:
    Py_XDECREF(block.whole)
    block.whole = NULL
    block.at = NULL
    block.size = block.capacity = 0


cdef bytes text_of(const Cell *cell):
    return (<const char *>cell.at)[: cell.size]


cdef object malformed(const uint8_t *body, Py_ssize_t at, str problem):
    return MalformedMessage(chr(body[0]), at, problem)


cdef object cut_short(const uint8_t *body, Py_ssize_t size):
    return malformed(body, size, "message ends within a row")


cdef class PackedLane:
    """Open rows of one lane at one version of its relation, in the layout of ChangeBatch."""

    cdef readonly int lane
    cdef readonly object relation
    cdef readonly Py_ssize_t columns
    # The table holds rows that nobody has read: the target may lack the row that a partial image belongs to.
    cdef public bint unread
    # Unchanged TOAST columns of all rows so far, sealed or not.
    cdef public uint64_t unchanged_toast_count
    cdef public list readbacks
    cdef Py_ssize_t words
    cdef Py_ssize_t key_count
    cdef int32_t *keys
    cdef uint8_t *is_key
    # The serial of the last row's transaction, 0 without rows, and how many rows of it there are.
    cdef uint64_t run
    cdef uint32_t run_rows
    cdef Block ops, bitmaps, lengths, data, change_lsns, run_counts, commit_lsns, commit_times, xids

    def __cinit__(self, lane, relation, *args, **kwargs):
        cdef Py_ssize_t position
        self.columns = len(relation.columns)
        self.words = max(1, (self.columns + 63) // 64)
        self.key_count = len(relation.key_indices)
        self.keys = <int32_t *>PyMem_Malloc(max(1, self.key_count) * sizeof(int32_t))
        self.is_key = <uint8_t *>PyMem_Calloc(max(1, self.columns), 1)
        if self.keys is NULL or self.is_key is NULL:
            raise MemoryError
        for position in range(self.key_count):
            self.keys[position] = relation.key_indices[position]
            if not 0 <= self.keys[position] < self.columns:
                raise ValueError("a key column that the relation does not have")
            self.is_key[self.keys[position]] = 1

    def __init__(self, lane, relation):
        self.lane = lane
        self.relation = relation
        self.readbacks = []

    def __dealloc__(self):
        PyMem_Free(self.keys)
        PyMem_Free(self.is_key)
        release(&self.ops)
        release(&self.bitmaps)
        release(&self.lengths)
        release(&self.data)
        release(&self.change_lsns)
        release(&self.run_counts)
        release(&self.commit_lsns)
        release(&self.commit_times)
        release(&self.xids)

    @property
    def row_count(self):
        return <Py_ssize_t>self.ops.size

    @property
    def key_indices(self):
        return tuple([self.keys[position] for position in range(self.key_count)])

    cdef int append(self, uint8_t op, const Cell *cells, uint64_t lsn, const Transaction *transaction, size_t most) except -1:
        """One row; `most` bounds the bytes of its values. Nothing is stored when memory is short."""
        cdef Py_ssize_t column
        cdef int32_t size
        cdef uint8_t *to
        cdef uint8_t *length
        cdef uint8_t *bitmap
        cdef bint begins = self.run != transaction.serial
        reserve(&self.ops, 1)
        reserve(&self.bitmaps, 8 * <size_t>self.words)
        reserve(&self.lengths, 4 * <size_t>self.columns)
        reserve(&self.data, most)
        reserve(&self.change_lsns, 8)
        if begins:
            reserve(&self.run_counts, 4)
            reserve(&self.commit_lsns, 8)
            reserve(&self.commit_times, 8)
            reserve(&self.xids, 4)
            store64(self.commit_lsns.at + self.commit_lsns.size, transaction.commit_lsn)
            store64(self.commit_times.at + self.commit_times.size, <uint64_t>transaction.commit_time)
            store32(self.xids.at + self.xids.size, transaction.xid)
            self.run_counts.size += 4
            self.commit_lsns.size += 8
            self.commit_times.size += 8
            self.xids.size += 4
            self.run = transaction.serial
            self.run_rows = 0
            # Only the last run may have to go out with them.
            self.change_lsns.size = 0
        self.run_rows += 1
        store32(self.run_counts.at + self.run_counts.size - 4, self.run_rows)
        store64(self.change_lsns.at + self.change_lsns.size, lsn)
        self.change_lsns.size += 8
        self.ops.at[self.ops.size] = op
        self.ops.size += 1
        bitmap = self.bitmaps.at + self.bitmaps.size
        memset(bitmap, 0, 8 * <size_t>self.words)
        self.bitmaps.size += 8 * <size_t>self.words
        length = self.lengths.at + self.lengths.size
        self.lengths.size += 4 * <size_t>self.columns
        to = self.data.at + self.data.size
        for column in range(self.columns):
            size = cells[column].size
            store32(length, <uint32_t>size)
            length += 4
            if size > 0:
                memcpy(to, cells[column].at, <size_t>size)
                to += size
            elif size == ABSENT_CELL:
                bitmap[column >> 3] |= <uint8_t>(1 << (column & 7))
        self.data.size = <size_t>(to - self.data.at)
        return 0

    cdef int ask(self, const Cell *cells, uint32_t xid) except -1:
        """Notes that the absent columns of the last row are to be read from the source before the lane is sealed."""
        cdef list columns = [column for column in range(self.columns) if cells[column].size == ABSENT_CELL]
        cdef list key
        if columns:
            key = [text_of(&cells[self.keys[position]]) for position in range(self.key_count)]
            self.readbacks.append(Readback(<Py_ssize_t>self.ops.size - 1, xid, tuple(key), tuple(columns)))
        return 0

    def complete(self, list completions not None):
        """Puts values that were read from the source in the place of absent ones."""
        cdef Block data
        cdef Py_ssize_t next_row = 0, row, column, rows = <Py_ssize_t>self.ops.size
        cdef size_t read = 0, size = 0, added = 0
        cdef uint8_t *lengths
        cdef uint8_t *bitmap
        cdef int32_t was
        cdef bytes value
        completions = sorted(completions, key=_row_of)
        for row, cells in completions:
            if not next_row <= row < rows:
                raise ValueError("no such row, or one row twice")
            next_row = row + 1
            for given in cells.values():
                if given is not None:
                    if len(<bytes?>given) > INT32_MAX:
                        raise OverflowError("value of more than 2 GB")
                    added += <size_t>len(<bytes>given)
        next_row = 0
        memset(&data, 0, sizeof(Block))
        reserve(&data, self.data.size + added)
        for row, cells in completions:
            # The rows between, as they are.
            size = self._bytes_of(next_row, row)
            if size:
                memcpy(data.at + data.size, self.data.at + read, size)
            data.size += size
            read += size
            lengths = self.lengths.at + 4 * <size_t>self.columns * <size_t>row
            bitmap = self.bitmaps.at + 8 * <size_t>self.words * <size_t>row
            for column in range(self.columns):
                was = length_at(lengths + 4 * column)
                if was > 0:
                    memcpy(data.at + data.size, self.data.at + read, <size_t>was)
                    data.size += <size_t>was
                    read += <size_t>was
                elif was == ABSENT_CELL and column in cells:
                    bitmap[column >> 3] &= <uint8_t>(0xFF ^ (1 << (column & 7)))
                    if cells[column] is None:
                        store32(lengths + 4 * column, <uint32_t><int32_t>NULL_CELL)
                    else:
                        value = <bytes>cells[column]
                        store32(lengths + 4 * column, <uint32_t>len(value))
                        memcpy(data.at + data.size, <const uint8_t *>value, <size_t>len(value))
                        data.size += <size_t>len(value)
            next_row = row + 1
        size = self.data.size - read
        if size:
            memcpy(data.at + data.size, self.data.at + read, size)
        data.size += size
        data.likely = self.data.likely
        release(&self.data)
        self.data = data

    cdef size_t _bytes_of(self, Py_ssize_t start, Py_ssize_t end) noexcept:
        """Bytes of the values of these rows."""
        cdef size_t total = 0
        cdef Py_ssize_t cell
        cdef int32_t size
        for cell in range(start * self.columns, end * self.columns):
            size = length_at(self.lengths.at + 4 * cell)
            if size > 0:
                total += <size_t>size
        return total

    def take(self, uint64_t open_run):
        """All fields of the rows, as ChangeBatch has them; the lane is empty afterwards."""
        if self.run != open_run:
            self.change_lsns.size = 0
        rows = <Py_ssize_t>self.ops.size
        self.run = 0
        self.readbacks = []
        return (
            rows,
            take(&self.ops),
            take(&self.run_counts),
            take(&self.commit_lsns),
            take(&self.commit_times),
            take(&self.xids),
            take(&self.change_lsns),
            take(&self.bitmaps),
            take(&self.lengths),
            take(&self.data),
        )


cdef inline int32_t length_at(const uint8_t *at) noexcept:
    return <int32_t>(at[0] | (<uint32_t>at[1] << 8) | (<uint32_t>at[2] << 16) | (<uint32_t>at[3] << 24))


def _row_of(completion):
    return completion[0]


cdef Py_ssize_t read_image(
    const uint8_t *body, Py_ssize_t size, Py_ssize_t at, PackedLane lane, Cell *cells, Py_ssize_t *absent
) except -1:
    """The row image (TupleData) at `at`, which is at most `size`; gives the offset behind it and how many columns it lacks.

    u16 columns, each 'n' NULL · 'u' unchanged TOAST · 't' u32 length, text.
    """
    cdef Py_ssize_t column
    cdef uint32_t length
    cdef uint8_t kind
    absent[0] = 0
    if size - at < 2:
        raise cut_short(body, size)
    if load16(body + at) != lane.columns:
        raise malformed(body, at, f"row of {load16(body + at)} columns, expected {lane.columns}")
    at += 2
    for column in range(lane.columns):
        if at >= size:
            raise cut_short(body, size)
        kind = body[at]
        if kind == c"t":
            if size - at < 5:
                raise cut_short(body, size)
            length = load32(body + at + 1)
            at += 5
            if length > <size_t>(size - at):
                raise cut_short(body, size)
            if length > INT32_MAX:
                raise malformed(body, at - 4, "value of more than 2 GB")
            cells[column].at = body + at
            cells[column].size = <int32_t>length
            at += length
        elif kind == c"n":
            cells[column].size = NULL_CELL
            at += 1
        elif kind == c"u":
            cells[column].size = ABSENT_CELL
            absent[0] += 1
            at += 1
        else:
            raise malformed(body, at, "unknown kind of value")
    return at


cdef inline int expect_new(const uint8_t *body, Py_ssize_t size, Py_ssize_t at) except -1:
    if at >= size or body[at] != c"N":
        raise malformed(body, min(at, size), "no new image")
    return 0


cdef inline int expect_end(const uint8_t *body, Py_ssize_t size, Py_ssize_t at) except -1:
    if at != size:
        raise malformed(body, at, f"{size - at} bytes follow the last field")
    return 0


cdef inline bint same(const Cell *one, const Cell *other) noexcept:
    if one.size != other.size:
        return False
    return one.size <= 0 or memcmp(one.at, other.at, <size_t>one.size) == 0


cdef inline bint keyless(PackedLane lane, const Cell *cells) noexcept:
    """True when a key column is NULL or absent."""
    cdef Py_ssize_t position
    for position in range(lane.key_count):
        if cells[lane.keys[position]].size < 0:
            return True
    return False


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
