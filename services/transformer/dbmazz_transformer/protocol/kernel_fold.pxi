# Fold: each key once, with the latest value of every column that an image of the window carries. Rows are referred to, not
# copied; only where an image lacks a column that an earlier one has, is it noted where the value is.

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
