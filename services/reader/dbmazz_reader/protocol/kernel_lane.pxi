# The open rows of one lane.

cdef class PackedLane:
    """Open rows of one lane at one version of its relation, in the layout of ChangeBatch."""

    cdef readonly int lane
    cdef readonly object relation
    cdef readonly Py_ssize_t columns
    # The table holds rows that nobody has read: the target may lack the row that a partial image belongs to.
    cdef public bint unread
    # Above the versions of all rows that a load has put into the lane, 0 without a load; see docs/guarantees.md.
    cdef public uint64_t version_floor
    # The serial of the last transaction that truncated the table, and how often it has.
    cdef uint64_t truncated_run
    cdef uint64_t truncates
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
        cdef uint64_t version = self._raised(lsn, transaction.serial, transaction.commit_lsn)
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
        store64(self.change_lsns.at + self.change_lsns.size, version)
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

    cdef uint64_t _raised(self, uint64_t lsn, uint64_t serial, uint64_t commit_lsn) noexcept:
        """The version of a change at `lsn`, while its transaction goes on in a later batch.

        A change may have been written before the rows of a load were read, by a transaction that the load could not see: it is
        newer all the same, and older than the commit. A truncate in between stays in between.
        """
        cdef uint64_t raised
        if lsn >= self.version_floor + TRUNCATES_ROOM or commit_lsn <= TRUNCATES_ROOM:
            return lsn
        raised = min(self.version_floor, commit_lsn - 1 - TRUNCATES_ROOM)
        if self.truncated_run == serial:
            raised += min(self.truncates, <uint64_t>TRUNCATES_ROOM)
        return max(lsn, raised)

    def barrier(self, uint64_t lsn, uint64_t open_run, uint64_t commit_lsn):
        """The LSN below which rows go with a truncate at `lsn` of the open transaction: its own earlier rows go, too."""
        if not self.version_floor:
            return lsn
        self.truncates = self.truncates + 1 if self.truncated_run == open_run else 1
        self.truncated_run = open_run
        return self._raised(lsn, open_run, commit_lsn)

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
        reserve(&data, self.data.size + added + 1)
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
                        reserve(&data, <size_t>len(value) + self.data.size - read)
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
