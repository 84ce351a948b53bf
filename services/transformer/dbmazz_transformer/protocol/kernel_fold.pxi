# Fold and group: which rows of a window are written, with which columns, and where the values of those come from.

from dbmazz.errors import WireError

# Values of dbmazz_op_type.
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

ctypedef struct CommitRun:
    int64_t time
    int64_t rows

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


cdef class Group:
    cdef readonly object bitmap
    cdef readonly bint removes
    cdef readonly Py_ssize_t row_count, insert_count, update_count, delete_count
    cdef Fold fold
    # Its rows are fold.order[start : start + row_count].
    cdef Py_ssize_t start

    @property
    def rows(self):
        cdef Py_ssize_t at
        return [self.fold.order[self.start + at] for at in range(self.row_count)]

    @property
    def ops(self):
        return bytes([final_op(self.fold, row) for row in self.rows])

    def commit_runs(self, Py_ssize_t limit):
        """Rows by commit time, ascending, at most `limit` of them."""
        cdef Py_ssize_t at, row, runs = 0
        if limit < 2:  # a span of one run would not fit 64 bits
            raise ValueError("at least two runs are needed")
        cdef CommitRun *found = <CommitRun *>claim(self.row_count, sizeof(CommitRun))
        try:
            for at in range(self.row_count):
                row = self.fold.order[self.start + at]
                if runs == 0 or found[runs - 1].time != self.fold.times[row]:
                    found[runs].time = self.fold.times[row]
                    runs += 1
                found[runs - 1].rows += 1
            qsort(found, runs, sizeof(CommitRun), &earlier_run)
            runs = merge_runs(found, runs, 1)
            if runs > limit:
                runs = merge_runs(found, runs, (<uint64_t>found[runs - 1].time - <uint64_t>found[0].time) // limit + 1)
            return tuple([(found[at].time, found[at].rows) for at in range(runs)])
        finally:
            PyMem_RawFree(found)


cdef int earlier_run(const void *one, const void *other) noexcept nogil:
    cdef int64_t left = (<const CommitRun *>one).time
    cdef int64_t right = (<const CommitRun *>other).time
    return (left > right) - (left < right)


cdef Py_ssize_t merge_runs(CommitRun *runs, Py_ssize_t count, uint64_t step) noexcept nogil:
    """Ascending runs into one for each `step` from the first on, with its first time; how many there are then."""
    cdef Py_ssize_t at, kept = 0
    cdef uint64_t first = <uint64_t>runs[0].time
    for at in range(1, count):
        if (<uint64_t>runs[at].time - first) // step == (<uint64_t>runs[kept].time - first) // step:
            runs[kept].rows += runs[at].rows
        else:
            kept += 1
            runs[kept] = runs[at]
    return kept + 1


cdef class Folded:
    cdef readonly Py_ssize_t folded_count
    cdef readonly list groups


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

    cdef list grouped(self, non_key_bitmap, bint soft_delete):
        """In a fixed order (by bitmap, real deletes last), so that a window that is sent again has the same parts."""
        cdef bytes key_only
        cdef Py_ssize_t kept = self.row_count - self.folded_count
        cdef Py_ssize_t row, at, number, count, start = 0
        cdef int32_t *members = NULL
        cdef int32_t *firsts = NULL
        cdef Py_ssize_t *starts = NULL
        cdef uint64_t *key_words = NULL
        groups = []
        if not kept:
            return groups
        key_only = non_key_bitmap.to_bytes(8 * self.words, "little")
        try:
            key_words = <uint64_t *>claim(self.words, sizeof(uint64_t))
            for at in range(self.words):
                key_words[at] = load_u64(bytes_of(key_only) + 8 * at)
            members = <int32_t *>claim(kept, sizeof(int32_t))
            firsts = <int32_t *>claim(kept, sizeof(int32_t))
            with nogil:
                count = find_groups(self, soft_delete, key_words, members, firsts)
            found = [self._group_of(firsts[number], soft_delete, key_words) for number in range(count)]
            ranks = sorted(range(count), key=lambda number: found[number])
            starts = <Py_ssize_t *>claim(count, sizeof(Py_ssize_t))
            for at in range(kept):
                starts[members[at]] += 1
            for number in ranks:
                group = new_group(self, found[number], start, starts[number])
                groups.append(group)
                starts[number], start = start, start + starts[number]
            at = 0
            for row in range(self.row_count):
                if not self.marks[row] & SUPERSEDED:
                    number = members[at]
                    self.order[starts[number]] = row
                    starts[number] += 1
                    at += 1
            for group in groups:
                count_ops(self, group)
            return groups
        finally:
            PyMem_RawFree(key_words)
            PyMem_RawFree(members)
            PyMem_RawFree(firsts)
            PyMem_RawFree(starts)

    cdef tuple _group_of(self, Py_ssize_t row, bint soft_delete, const uint64_t *key_words):
        """Whether the group of this row removes, and its bitmap."""
        cdef bint removes = not soft_delete and final_op(self, row) == DELETE_OP
        cdef const uint64_t *bitmap = key_words
        cdef Py_ssize_t at
        if not removes:
            if self.bitmaps == NULL:
                return False, 0
            bitmap = self.bitmaps + row * self.words
        value = 0
        for at in reversed(range(self.words)):
            value = value << 64 | bitmap[at]
        return removes, value


cdef inline uint8_t final_op(Fold fold, Py_ssize_t row) noexcept nogil:
    cdef uint8_t mark = fold.marks[row]
    if mark & FOLDED and mark & OP_MASK != DELETE_OP:
        return INSERT_OP if mark & BORN else UPDATE_OP
    return mark & OP_MASK


cdef enum:
    DONE = 0
    NO_MEMORY = -1
    KEY_ABSENT = -2
    KEY_NULL = -3


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


cdef int hash_key(Fold fold, const Image *image, uint64_t *hash) noexcept nogil:
    cdef Bytes value = image.values
    cdef Py_ssize_t column = 0, key
    cdef int32_t length
    hash[0] = 0
    for key in range(fold.key_count):
        while column < fold.keys[key]:
            length = cell_length(image.lengths, column)
            if length > 0:
                value += length
            column += 1
        length = cell_length(image.lengths, column)
        if length < 0:
            return KEY_NULL if length == NULL_CELL else KEY_ABSENT
        hash[0] = hashed(value, length, hash[0], SECRET)
        value += length
        column += 1
    return DONE


cdef bint same_key(Fold fold, const Image *one, const Image *other) noexcept nogil:
    cdef Bytes one_value = one.values
    cdef Bytes other_value = other.values
    cdef Py_ssize_t column = 0, key
    cdef int32_t one_length, other_length
    for key in range(fold.key_count):
        while column <= fold.keys[key]:
            one_length = cell_length(one.lengths, column)
            other_length = cell_length(other.lengths, column)
            if column == fold.keys[key]:
                if one_length != other_length or memcmp(one_value, other_value, one_length) != 0:
                    return False
            if one_length > 0:
                one_value += one_length
            if other_length > 0:
                other_value += other_length
            column += 1
    return True


cdef int fold_rows(Fold fold) noexcept nogil:
    """Finds each row's earlier image by the key's text: that is what the target's key is made of."""
    cdef Py_ssize_t row, at, mask = fold.capacity - 1
    cdef uint64_t hash = 0
    cdef uint32_t tag
    cdef Slot *slot
    cdef int status
    for row in range(fold.row_count):
        status = hash_key(fold, &fold.images[row], &hash)
        if status != DONE:
            return worst_key(fold, row)
        tag = <uint32_t>(hash >> 32)
        at = hash & mask
        while True:
            slot = &fold.slots[at]
            if slot.number == 0:
                slot[0] = Slot(tag, row + 1)
                break
            if slot.tag == tag and same_key(fold, &fold.images[row], &fold.images[slot.number - 1]):
                if supersede(fold, slot.number - 1, row) != DONE:
                    return NO_MEMORY
                slot.number = row + 1
                break
            at = (at + 1) & mask
    return DONE


cdef int worst_key(Fold fold, Py_ssize_t row) noexcept nogil:
    """An absent key before one that is NULL, whichever comes first."""
    cdef uint64_t hash
    cdef int worst = KEY_NULL
    for row in range(row, fold.row_count):
        if hash_key(fold, &fold.images[row], &hash) == KEY_ABSENT:
            return KEY_ABSENT
    return worst


cdef int supersede(Fold fold, Py_ssize_t before, Py_ssize_t row) noexcept nogil:
    """`row` is the later image of the key that `before` was the last one of."""
    cdef uint8_t earlier = fold.marks[before]
    cdef uint8_t later = fold.marks[row]
    cdef bint born
    fold.marks[before] |= SUPERSEDED
    fold.folded_count += 1
    if earlier & FOLDED:
        born = earlier & BORN
    else:
        born = earlier & OP_MASK == INSERT_OP
    if born or (later & OP_MASK == INSERT_OP and earlier & OP_MASK == DELETE_OP):
        fold.marks[row] |= BORN
    fold.marks[row] |= FOLDED
    return carry(fold, before, row) if fold.bitmaps != NULL else DONE


cdef int carry(Fold fold, Py_ssize_t before, Py_ssize_t row) noexcept nogil:
    """What `row` lacks and the images before it have."""
    cdef uint64_t *lacks = fold.bitmaps + row * fold.words
    cdef uint64_t *lacked = fold.bitmaps + before * fold.words
    cdef Patch *earlier = NULL
    cdef Py_ssize_t at, count = 0
    cdef int status = DONE
    if fold.patches != NULL:
        earlier = fold.patches[before]
        fold.patches[before] = NULL
    for at in range(fold.words):
        count += bit_count(lacks[at] & ~lacked[at])
    if count:
        status = make_patch(fold, before, row, earlier, count)
    PyMem_RawFree(earlier)
    for at in range(fold.words):
        lacks[at] &= lacked[at]
    return status


cdef int make_patch(Fold fold, Py_ssize_t before, Py_ssize_t row, const Patch *earlier, Py_ssize_t count) noexcept nogil:
    cdef uint64_t *lacks = fold.bitmaps + row * fold.words
    cdef uint64_t *lacked = fold.bitmaps + before * fold.words
    cdef Image *image = &fold.images[before]
    cdef Bytes value = image.values
    cdef Patch *patch
    cdef Py_ssize_t column, had = 0
    cdef int32_t length
    if fold.patches == NULL:
        fold.patches = <Patch **>PyMem_RawCalloc(fold.row_count, sizeof(void *))
        if fold.patches == NULL:
            return NO_MEMORY
    patch = <Patch *>PyMem_RawMalloc(sizeof(Patch) + count * sizeof(Carried))
    if patch == NULL:
        return NO_MEMORY
    fold.patches[row] = patch
    patch.count = 0
    for column in range(fold.column_count):
        length = cell_length(image.lengths, column)
        while earlier != NULL and had < earlier.count and earlier.cells[had].column < column:
            had += 1
        if patch.count < count and is_set(lacks, column) and not is_set(lacked, column):
            if earlier != NULL and had < earlier.count and earlier.cells[had].column == column:
                patch.cells[patch.count] = earlier.cells[had]
            else:
                patch.cells[patch.count] = Carried(value, length, column)
            patch.count += 1
        if length > 0:
            value += length
    return DONE


cdef Py_ssize_t find_groups(
    Fold fold, bint soft_delete, const uint64_t *key_words, int32_t *members, int32_t *firsts
) noexcept nogil:
    """How many groups there are; the number of each kept row's into `members`, and one row of each into `firsts`."""
    cdef Py_ssize_t row, at, kept = 0, count = 0, mask = fold.capacity - 1
    cdef Py_ssize_t size = 8 * fold.words
    cdef const uint64_t *bitmap
    cdef uint64_t hash
    cdef uint32_t tag
    cdef bint removes
    cdef Slot *slot
    memset(fold.slots, 0, fold.capacity * sizeof(Slot))
    for row in range(fold.row_count):
        if fold.marks[row] & SUPERSEDED:
            continue
        removes = not soft_delete and final_op(fold, row) == DELETE_OP
        bitmap = key_words if removes or fold.bitmaps == NULL else fold.bitmaps + row * fold.words
        hash = hashed(<Bytes>bitmap, size, removes, SECRET)
        tag = <uint32_t>(hash >> 32)
        at = hash & mask
        while True:
            slot = &fold.slots[at]
            if slot.number == 0:
                slot[0] = Slot(tag, count + 1)
                firsts[count] = row
                members[kept] = count
                count += 1
                break
            if slot.tag == tag and in_group(fold, soft_delete, firsts[slot.number - 1], removes, bitmap):
                members[kept] = slot.number - 1
                break
            at = (at + 1) & mask
        kept += 1
    return count


cdef bint in_group(
    Fold fold, bint soft_delete, Py_ssize_t first, bint removes, const uint64_t *bitmap
) noexcept nogil:
    cdef bint first_removes = not soft_delete and final_op(fold, first) == DELETE_OP
    if first_removes != removes:
        return False
    # All rows that remove are one group, and so are all others when no image lacks anything.
    return removes or fold.bitmaps == NULL or (
        memcmp(fold.bitmaps + first * fold.words, bitmap, 8 * fold.words) == 0
    )


cdef Group new_group(Fold fold, tuple kind, Py_ssize_t start, Py_ssize_t count):
    cdef Group group = Group.__new__(Group)
    group.fold = fold
    group.removes, group.bitmap = kind
    group.start, group.row_count = start, count
    return group


cdef void count_ops(Fold fold, Group group) noexcept:
    cdef Py_ssize_t at
    cdef uint8_t op
    for at in range(group.start, group.start + group.row_count):
        op = final_op(fold, fold.order[at])
        group.insert_count += op == INSERT_OP
        group.update_count += op == UPDATE_OP
        group.delete_count += op == DELETE_OP


def fold(batches, key_indices, *, non_key_bitmap, bint soft_delete):
    """Folds the rows of a window per key, and groups what is left."""
    cdef Folded folded = Folded.__new__(Folded)
    cdef Fold images = Fold(batches, key_indices)
    folded.groups = images.grouped(non_key_bitmap, soft_delete)
    folded.folded_count = images.folded_count
    return folded
