# Chunks of a load: rows as COPY writes them, the keys that the stream changes meanwhile, and what of both goes into the lane.

cdef class KeyedRows:
    """Shared by rows that were copied and changes that were streamed: which columns are the key, and a row's key as bytes."""

    cdef readonly Py_ssize_t columns
    cdef Py_ssize_t words
    cdef Py_ssize_t key_count
    cdef int32_t *keys

    def __cinit__(self, columns, key_indices, *args, **kwargs):
        cdef Py_ssize_t position
        self.columns = columns
        self.words = max(1, (self.columns + 63) // 64)
        self.key_count = len(key_indices)
        self.keys = <int32_t *>PyMem_Malloc(max(1, self.key_count) * sizeof(int32_t))
        if self.keys is NULL:
            raise MemoryError
        for position in range(self.key_count):
            self.keys[position] = key_indices[position]
            if not 0 <= self.keys[position] < self.columns:
                raise ValueError("a key column that the relation does not have")

    def __dealloc__(self):
        PyMem_Free(self.keys)

    cdef bytes key_of(self, const uint8_t *lengths, const uint8_t *data):
        """Length and text of each key column, in key order; the row's other values do not matter."""
        cdef Py_ssize_t position
        cdef int32_t size
        cdef size_t at
        if self.key_count == 1:
            at = offset_of(lengths, self.keys[0])
            size = length_at(lengths + 4 * self.keys[0])
            return (<const char *>data + at)[: max(size, 0)]
        parts = []
        for position in range(self.key_count):
            at = offset_of(lengths, self.keys[position])
            size = max(length_at(lengths + 4 * self.keys[position]), 0)
            parts.append(size.to_bytes(4, "little"))
            parts.append((<const char *>data + at)[:size])
        return b"".join(parts)


cdef inline size_t offset_of(const uint8_t *lengths, Py_ssize_t column) noexcept:
    cdef size_t total = 0
    cdef Py_ssize_t before
    cdef int32_t size
    for before in range(column):
        size = length_at(lengths + 4 * before)
        if size > 0:
            total += <size_t>size
    return total


cdef inline size_t bytes_of_row(const uint8_t *lengths, Py_ssize_t columns) noexcept:
    return offset_of(lengths, columns)


cdef class CopiedRows(KeyedRows):
    """Rows of one chunk, in the order in which COPY gave them."""

    cdef readonly Py_ssize_t row_count
    cdef Block lengths, data

    def __init__(self, columns, key_indices):
        pass

    def __dealloc__(self):
        release(&self.lengths)
        release(&self.data)

    @property
    def byte_count(self):
        return <Py_ssize_t>(self.lengths.size + self.data.size)

    def take(self, list frames not None):
        """Adds rows, each frame one row of COPY's text format. ValueError for what is no such row."""
        cdef Py_buffer view
        for frame in frames:
            PyObject_GetBuffer(frame, &view, PyBUF_SIMPLE)
            try:
                self._row(<const uint8_t *>view.buf, view.len)
            finally:
                PyBuffer_Release(&view)

    cdef int _row(self, const uint8_t *text, Py_ssize_t size) except -1:
        """One line: values between tabs, \\N for NULL, a backslash before what would be mistaken."""
        cdef Py_ssize_t column = 0
        cdef const uint8_t *at = text
        cdef const uint8_t *end
        cdef const uint8_t *tab
        cdef uint8_t *to
        cdef uint8_t *begun
        cdef uint8_t *length
        cdef bint escaped
        if size < 1 or text[size - 1] != c"\n":
            raise ValueError("a row of COPY does not end with a line feed")
        end = text + size - 1
        reserve(&self.lengths, 4 * <size_t>self.columns)
        reserve(&self.data, <size_t>size)
        escaped = memchr(text, c"\\", <size_t>(size - 1)) != NULL
        to = self.data.at + self.data.size
        length = self.lengths.at + self.lengths.size
        while True:
            if column == self.columns:
                raise ValueError(f"a row of COPY has more than {self.columns} columns")
            tab = <const uint8_t *>memchr(at, c"\t", <size_t>(end - at))
            if tab == NULL:
                tab = end
            if escaped and tab - at == 2 and at[0] == c"\\" and at[1] == c"N":
                store32(length, <uint32_t><int32_t>NULL_CELL)
            else:
                begun = to
                to = unescape(at, tab, to, escaped)
                store32(length, <uint32_t>(to - begun))
            length += 4
            column += 1
            if tab == end:
                break
            at = tab + 1
        if column != self.columns:
            raise ValueError(f"a row of COPY has {column} columns, expected {self.columns}")
        self.data.size = <size_t>(to - self.data.at)
        self.lengths.size += 4 * <size_t>self.columns
        self.row_count += 1
        return 0

    def last_key(self):
        """The texts of the last row's key; None without rows."""
        cdef const uint8_t *lengths
        cdef size_t start
        if not self.row_count:
            return None
        lengths = self.lengths.at + 4 * <size_t>self.columns * <size_t>(self.row_count - 1)
        start = self.data.size - bytes_of_row(lengths, self.columns)
        return tuple([self._cell(lengths, start, self.keys[position]) for position in range(self.key_count)])

    cdef bytes _cell(self, const uint8_t *lengths, size_t start, Py_ssize_t column):
        cdef int32_t size = length_at(lengths + 4 * column)
        return (<const char *>self.data.at + start + offset_of(lengths, column))[: max(size, 0)]

    cdef set key_set(self):
        cdef set found = set()
        cdef const uint8_t *lengths = self.lengths.at
        cdef size_t at = 0
        cdef Py_ssize_t row
        for row in range(self.row_count):
            found.add(self.key_of(lengths, self.data.at + at))
            at += bytes_of_row(lengths, self.columns)
            lengths += 4 * self.columns
        return found


cdef uint8_t *unescape(const uint8_t *at, const uint8_t *end, uint8_t *to, bint escaped) noexcept:
    """The value between `at` and `end`; never longer than what it is made of."""
    cdef uint8_t letter
    if not escaped:
        if end > at:
            memcpy(to, at, <size_t>(end - at))
        return to + (end - at)
    while at < end:
        letter = at[0]
        at += 1
        if letter == c"\\" and at < end:
            letter = at[0]
            at += 1
            if letter == c"n":
                letter = c"\n"
            elif letter == c"t":
                letter = c"\t"
            elif letter == c"r":
                letter = c"\r"
            elif letter == c"b":
                letter = 8
            elif letter == c"f":
                letter = 12
            elif letter == c"v":
                letter = 11
        to[0] = letter
        to += 1
    return to


cdef class Change:
    """What the stream has made of one key, by transactions that the chunk cannot see."""

    # The last event was a delete.
    cdef bint removed
    # The key's row was deleted on the way: the row in the chunk is another one.
    cdef bint detached
    cdef uint64_t version
    cdef int64_t time
    cdef uint32_t xid
    # What no image since the chunk's row carries.
    cdef bytes lacks


cdef class ChangedKeys(KeyedRows):
    """Keys that transactions which the chunk's snapshot cannot see have changed, from the moment recording began."""

    cdef dict changes
    cdef set only

    def __init__(self, columns, key_indices):
        self.changes = {}

    def __len__(self):
        return len(self.changes)

    def restrict(self, CopiedRows rows not None):
        """From now on, only keys of these rows matter."""
        self.only = rows.key_set()
        self.changes = {key: change for key, change in self.changes.items() if key in self.only}

    def take(self, batch, invisible):
        """A ChangeBatch of the table's lane; `invisible` tells for each of its runs whether the snapshot cannot see it."""
        cdef bytes ops = batch.ops, counts = batch.run_row_counts, commits = batch.commit_lsns
        cdef bytes times = batch.commit_times, xids = batch.xids, open_lsns = batch.change_lsns
        cdef bytes bitmaps = batch.absent_bitmaps, lengths = batch.lengths, data = batch.data
        cdef Py_ssize_t runs = len(counts) // 4, rows = len(ops), run, row = 0, end = 0
        cdef Py_ssize_t open_from = rows - len(open_lsns) // 8
        cdef size_t at = 0
        cdef const uint8_t *cells
        cdef uint64_t version
        for run in range(runs):
            end += little32(at_of(counts) + 4 * run)
            if not invisible[run]:
                while row < end:
                    at += bytes_of_row(at_of(lengths) + 4 * self.columns * row, self.columns)
                    row += 1
                continue
            while row < end:
                cells = at_of(lengths) + 4 * self.columns * row
                version = little64(at_of(commits) + 8 * run)
                if row >= open_from:
                    version = little64(at_of(open_lsns) + 8 * (row - open_from))
                self._note(
                    self.key_of(cells, at_of(data) + at),
                    at_of(ops)[row] == DELETE,
                    version,
                    <int64_t>little64(at_of(times) + 8 * run),
                    little32(at_of(xids) + 4 * run),
                    bitmaps[8 * self.words * row : 8 * self.words * (row + 1)],
                )
                at += bytes_of_row(cells, self.columns)
                row += 1

    cdef int _note(
        self, bytes key, bint removed, uint64_t version, int64_t time, uint32_t xid, bytes lacks
    ) except -1:
        cdef Change change
        cdef Py_ssize_t at
        if self.only is not None and key not in self.only:
            return 0
        change = <Change>self.changes.get(key)
        if change is None:
            change = Change.__new__(Change)
            change.lacks = lacks
            self.changes[key] = change
        elif not removed and change.lacks != lacks:
            change.lacks = bytes([change.lacks[at] & lacks[at] for at in range(len(lacks))])
        change.removed = removed
        change.detached = change.detached or removed
        change.version = version
        change.time = time
        change.xid = xid
        return 0


cdef class MergedBatch:
    """Rows on their way into a batch."""

    cdef Py_ssize_t rows
    cdef uint32_t run_rows
    # What the last run is of: 1 the chunk, 2 an image of the stream.
    cdef int run_kind
    cdef Block ops, bitmaps, lengths, data, run_counts, commit_lsns, commit_times, xids

    def __dealloc__(self):
        release(&self.ops)
        release(&self.bitmaps)
        release(&self.lengths)
        release(&self.data)
        release(&self.run_counts)
        release(&self.commit_lsns)
        release(&self.commit_times)
        release(&self.xids)

    cdef int begin_run(self, int kind, uint64_t version, int64_t time, uint32_t xid) except -1:
        reserve(&self.run_counts, 4)
        reserve(&self.commit_lsns, 8)
        reserve(&self.commit_times, 8)
        reserve(&self.xids, 4)
        store64(self.commit_lsns.at + self.commit_lsns.size, version)
        store64(self.commit_times.at + self.commit_times.size, <uint64_t>time)
        store32(self.xids.at + self.xids.size, xid)
        self.run_counts.size += 4
        self.commit_lsns.size += 8
        self.commit_times.size += 8
        self.xids.size += 4
        self.run_rows = 0
        self.run_kind = kind
        return 0

    cdef int begin_row(self, uint8_t op, Py_ssize_t words, Py_ssize_t columns, size_t most) except -1:
        reserve(&self.ops, 1)
        reserve(&self.bitmaps, 8 * <size_t>words)
        reserve(&self.lengths, 4 * <size_t>columns)
        reserve(&self.data, most)
        self.run_rows += 1
        store32(self.run_counts.at + self.run_counts.size - 4, self.run_rows)
        self.ops.at[self.ops.size] = op
        self.ops.size += 1
        self.rows += 1
        return 0

    cdef tuple fields(self):
        rows, self.rows, self.run_kind = self.rows, 0, 0
        return (
            rows,
            take(&self.ops),
            take(&self.run_counts),
            take(&self.commit_lsns),
            take(&self.commit_times),
            take(&self.xids),
            b"",
            take(&self.bitmaps),
            take(&self.lengths),
            take(&self.data),
        )


def merge(
    CopiedRows rows not None, ChangedKeys changes, uint64_t version, int64_t time, int64_t row_limit, int64_t byte_limit
):
    """(fields of batches, rows read, rows that only complete an image, rows that the stream has overtaken)."""
    cdef MergedBatch batch = MergedBatch.__new__(MergedBatch)
    cdef Change change = None
    cdef Py_ssize_t row, read = 0, completing = 0, overtaken = 0
    cdef size_t at = 0, size
    cdef const uint8_t *lengths = rows.lengths.at
    cdef dict changed = changes.changes if changes is not None and changes.changes else None
    batches = []
    for row in range(rows.row_count):
        size = bytes_of_row(lengths, rows.columns)
        if changed is not None:
            change = <Change>changed.get(rows.key_of(lengths, rows.data.at + at))
        if change is None:
            if batch.run_kind != 1:
                batch.begin_run(1, version, time, 0)
            append_read(batch, rows, lengths, rows.data.at + at, size)
            read += 1
        elif change.removed or change.detached or not contributes(change, rows, lengths):
            overtaken += 1
        else:
            batch.begin_run(2, change.version, change.time, change.xid)
            append_lacking(batch, rows, change, lengths, rows.data.at + at, size)
            completing += 1
        at += size
        lengths += 4 * rows.columns
        if batch.rows and (batch.rows >= row_limit or <int64_t>(batch.data.size + batch.lengths.size) >= byte_limit):
            batches.append(batch.fields())
    if batch.rows:
        batches.append(batch.fields())
    return batches, read, completing, overtaken


cdef bint contributes(Change change, CopiedRows rows, const uint8_t *lengths):
    cdef Py_ssize_t at
    for at in range(len(change.lacks)):
        if change.lacks[at]:
            return True
    return False


cdef int append_read(
    MergedBatch batch, CopiedRows rows, const uint8_t *lengths, const uint8_t *data, size_t size
) except -1:
    batch.begin_row(READ, rows.words, rows.columns, size)
    memset(batch.bitmaps.at + batch.bitmaps.size, 0, 8 * <size_t>rows.words)
    batch.bitmaps.size += 8 * <size_t>rows.words
    memcpy(batch.lengths.at + batch.lengths.size, lengths, 4 * <size_t>rows.columns)
    batch.lengths.size += 4 * <size_t>rows.columns
    if size:
        memcpy(batch.data.at + batch.data.size, data, size)
        batch.data.size += size
    return 0


cdef int append_lacking(
    MergedBatch batch, CopiedRows rows, Change change, const uint8_t *lengths, const uint8_t *data, size_t size
) except -1:
    """The key, and what the newer image lacks; all else is absent, for that image has it."""
    cdef Py_ssize_t column, position
    cdef int32_t length
    cdef bint wanted
    cdef uint8_t *bitmap
    cdef uint8_t *to
    batch.begin_row(UPDATE, rows.words, rows.columns, size)
    bitmap = batch.bitmaps.at + batch.bitmaps.size
    memset(bitmap, 0, 8 * <size_t>rows.words)
    batch.bitmaps.size += 8 * <size_t>rows.words
    to = batch.lengths.at + batch.lengths.size
    batch.lengths.size += 4 * <size_t>rows.columns
    for column in range(rows.columns):
        length = length_at(lengths + 4 * column)
        wanted = change.lacks[column >> 3] >> (column & 7) & 1
        for position in range(rows.key_count):
            wanted = wanted or rows.keys[position] == column
        if wanted:
            store32(to, <uint32_t>length)
            if length > 0:
                memcpy(batch.data.at + batch.data.size, data, <size_t>length)
                batch.data.size += <size_t>length
        else:
            store32(to, <uint32_t><int32_t>ABSENT_CELL)
            bitmap[column >> 3] |= <uint8_t>(1 << (column & 7))
        if length > 0:
            data += length
        to += 4
    return 0


cdef inline const uint8_t *at_of(bytes whole) noexcept:
    return <const uint8_t *>PyBytes_AS_STRING(<PyObject *>whole)


cdef inline uint32_t little32(const uint8_t *at) noexcept:
    return <uint32_t>length_at(at)


cdef inline uint64_t little64(const uint8_t *at) noexcept:
    return <uint64_t>little32(at) | (<uint64_t>little32(at + 4) << 32)
