# A window's rows side by side: where their cells are, and what else belongs to each.

from dbmazz.errors import WireError

cdef enum:
    INSERT_OP = 0
    UPDATE_OP = 1
    DELETE_OP = 2
    OP_MASK = 3
    # A later image of the same key came.
    SUPERSEDED = 4
    # An earlier image of the same key came.
    FOLDED = 8
    # The key came into being in this window. Only looked at in folded rows.
    BORN = 16
    UNKNOWN_OP = 255

# One row's cells: its lengths, and its values back to back, `size` bytes in all.
ctypedef struct Image:
    Bytes lengths
    Bytes values
    int64_t size

# A value that an image lacks and an earlier one of the window has.
ctypedef struct Carried:
    Bytes value
    int32_t length
    int32_t column

# In ascending order of columns.
ctypedef struct Patch:
    Py_ssize_t count
    Carried cells[1]

# A place in the hash table: the hash's upper half, and what is found there, plus 1; 0 is empty.
ctypedef struct Slot:
    uint32_t tag
    int32_t number

cdef enum:
    DONE = 0
    NO_MEMORY = -1
    KEY_ABSENT = -2
    KEY_NULL = -3

cdef Py_ssize_t MAX_ROWS = 0x3fffffff


cdef inline uint8_t op_of(uint8_t wire_op) noexcept nogil:
    # The numbers of the proto's Operation: insert, update, delete, read.
    if wire_op == 1 or wire_op == 4:
        return INSERT_OP
    if wire_op == 2:
        return UPDATE_OP
    return DELETE_OP if wire_op == 3 else UNKNOWN_OP


cdef inline bint is_set(const uint64_t *bitmap, Py_ssize_t column) noexcept nogil:
    return bitmap[column >> 6] >> (column & 63) & 1


cdef inline uint8_t final_op(Fold fold, Py_ssize_t row) noexcept nogil:
    cdef uint8_t mark = fold.marks[row]
    if mark & FOLDED and mark & OP_MASK != DELETE_OP:
        return INSERT_OP if mark & BORN else UPDATE_OP
    return mark & OP_MASK


cdef class Fold:
    cdef Py_ssize_t row_count, folded_count
    # Holds what the pointers point into.
    cdef tuple batches
    cdef Py_ssize_t column_count, words, capacity, key_count
    cdef bint any_absent
    cdef int32_t *keys
    cdef Image *images
    cdef uint64_t *versions
    cdef int64_t *times
    cdef uint8_t *marks
    # One bitmap per row, changed as images are folded; NULL when no image lacks anything.
    cdef uint64_t *bitmaps
    # One pointer per row; NULL before the first patch.
    cdef Patch **patches
    cdef Slot *slots
    # Rows that are written, by group.
    cdef int32_t *order

    def __cinit__(self, batches, key_indices):
        cdef Rows rows
        self.batches = tuple(batches)
        for rows in self.batches:
            if rows is None:
                raise TypeError("batches are Rows, not None")
            if rows.column_count != (<Rows>self.batches[0]).column_count:
                raise ValueError("the batches of a window have the same columns")
            self.row_count += rows.row_count
            self.any_absent |= rows.any_absent
        if not self.row_count:
            return
        if self.row_count > MAX_ROWS:
            raise WireError(f"a window of {self.row_count} rows is too large")
        self.column_count = (<Rows>self.batches[0]).column_count
        self.words = (<Rows>self.batches[0]).words
        self._take_keys(key_indices)
        self._claim()
        self._take_rows()
        self._fold()

    def __dealloc__(self):
        cdef Py_ssize_t row
        if self.patches != NULL:
            for row in range(self.row_count):
                PyMem_RawFree(self.patches[row])
        PyMem_RawFree(self.patches)
        PyMem_RawFree(self.keys)
        PyMem_RawFree(self.images)
        PyMem_RawFree(self.versions)
        PyMem_RawFree(self.times)
        PyMem_RawFree(self.marks)
        PyMem_RawFree(self.bitmaps)
        PyMem_RawFree(self.slots)
        PyMem_RawFree(self.order)

    cdef _take_keys(self, key_indices):
        """Ascending, whatever the order within the key: one walk over a row finds them all."""
        indices = sorted(set(key_indices))
        if not indices:
            raise WireError("the relation has no key columns")
        if min(indices) < 0 or max(indices) >= self.column_count:
            raise ValueError("a key column is not one of the relation")
        self.keys = <int32_t *>claim(len(indices), sizeof(int32_t))
        for index in indices:
            self.keys[self.key_count] = index
            self.key_count += 1

    cdef _claim(self):
        cdef size_t rows = self.row_count
        self.capacity = 16
        while self.capacity < 2 * self.row_count:
            self.capacity *= 2
        self.images = <Image *>claim(rows, sizeof(Image))
        self.versions = <uint64_t *>claim(rows, sizeof(uint64_t))
        self.times = <int64_t *>claim(rows, sizeof(int64_t))
        self.marks = <uint8_t *>claim(rows, 1)
        self.slots = <Slot *>claim(self.capacity, sizeof(Slot))
        self.order = <int32_t *>claim(rows, sizeof(int32_t))
        if self.any_absent:
            self.bitmaps = <uint64_t *>claim(rows * self.words, sizeof(uint64_t))

    cdef _take_rows(self):
        """What belongs to each row, side by side for all batches."""
        cdef Rows rows
        cdef Py_ssize_t base = 0
        cdef bint known = True
        for rows in self.batches:
            known = take_rows(self, rows, base, bytes_of(rows.ops), bytes_of(rows.lengths), bytes_of(rows.data)) and known
            take_runs(self, rows, base, bytes_of(rows.runs), bytes_of(rows.commit_lsns), bytes_of(rows.commit_times))
            take_open_rows(self, base + rows.row_count - rows.open_count, rows.open_count, bytes_of(rows.change_lsns))
            if self.bitmaps != NULL:
                take_bitmaps(self, rows, base, bytes_of(rows.bitmaps))
            base += rows.row_count
        if not known:
            raise WireError("a batch holds an unknown operation; the reader is newer than this transformer")

    cdef _fold(self):
        cdef int status
        with nogil:
            status = fold_rows(self)
        if status == NO_MEMORY:
            raise MemoryError()
        if status == KEY_ABSENT:
            raise WireError("a row does not carry its key")
        if status == KEY_NULL:
            raise WireError("a row's key is NULL")


cdef bint take_rows(
    Fold fold, Rows rows, Py_ssize_t base, Bytes ops, Bytes lengths, Bytes data
) noexcept nogil:
    """False when an operation is unknown."""
    cdef Py_ssize_t row, width = 4 * fold.column_count
    cdef bint known = True
    for row in range(rows.row_count):
        fold.marks[base + row] = op_of(ops[row])
        known = known and fold.marks[base + row] != UNKNOWN_OP
        fold.images[base + row].lengths = lengths + row * width
        fold.images[base + row].values = data + rows.starts[row]
        fold.images[base + row].size = rows.starts[row + 1] - rows.starts[row]
    return known


cdef void take_runs(Fold fold, Rows rows, Py_ssize_t base, Bytes runs, Bytes lsns, Bytes times) noexcept nogil:
    cdef Py_ssize_t run, row = base, end = base
    for run in range(rows.run_count):
        end += load_u32(runs + 4 * run)
        for row in range(row, end):
            fold.versions[row] = load_u64(lsns + 8 * run)
            fold.times[row] = <int64_t>load_u64(times + 8 * run)
        row = end


cdef void take_open_rows(Fold fold, Py_ssize_t first, Py_ssize_t count, Bytes change_lsns) noexcept nogil:
    """Inside of a transaction that goes on in a later batch, the change's own LSN guards the row."""
    cdef Py_ssize_t row
    for row in range(count):
        fold.versions[first + row] = load_u64(change_lsns + 8 * row)


cdef void take_bitmaps(Fold fold, Rows rows, Py_ssize_t base, Bytes bitmaps) noexcept nogil:
    cdef Py_ssize_t at
    for at in range(rows.row_count * fold.words):
        fold.bitmaps[base * fold.words + at] = load_u64(bitmaps + 8 * at)
