# Groups by TOAST signature: one load per set of absent columns, because StarRocks takes one set of columns per load. Keys are
# unique in a folded window, so the groups are disjoint and may be loaded in any order.

ctypedef struct CommitRun:
    int64_t time
    int64_t rows


cdef class Group:
    cdef readonly object bitmap
    cdef readonly bint removes
    cdef readonly Py_ssize_t row_count, insert_count, update_count, delete_count
    cdef Fold fold
    # Its rows are fold.order[start : start + row_count].
    cdef Py_ssize_t start

    def __init__(self):
        raise TypeError("groups are made by fold()")

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


cdef list make_groups(Fold fold, non_key_bitmap, bint soft_delete):
    """In a fixed order (by bitmap, real deletes last), so that a window that is sent again has the same parts."""
    cdef bytes key_only
    cdef Py_ssize_t kept = fold.row_count - fold.folded_count
    cdef Py_ssize_t row, at, number, count, start = 0
    cdef int32_t *members = NULL
    cdef int32_t *firsts = NULL
    cdef Py_ssize_t *starts = NULL
    cdef uint64_t *key_words = NULL
    groups = []
    if not kept:
        return groups
    key_only = non_key_bitmap.to_bytes(8 * fold.words, "little")
    try:
        key_words = <uint64_t *>claim(fold.words, sizeof(uint64_t))
        for at in range(fold.words):
            key_words[at] = load_u64(bytes_of(key_only) + 8 * at)
        members = <int32_t *>claim(kept, sizeof(int32_t))
        firsts = <int32_t *>claim(kept, sizeof(int32_t))
        with nogil:
            count = find_groups(fold, soft_delete, key_words, members, firsts)
        found = [kind_of(fold, firsts[number], soft_delete, key_words) for number in range(count)]
        ranks = sorted(range(count), key=lambda number: found[number])
        starts = <Py_ssize_t *>claim(count, sizeof(Py_ssize_t))
        for at in range(kept):
            starts[members[at]] += 1
        for number in ranks:
            group = new_group(fold, found[number], start, starts[number])
            groups.append(group)
            starts[number], start = start, start + starts[number]
        at = 0
        for row in range(fold.row_count):
            if not fold.marks[row] & SUPERSEDED:
                number = members[at]
                fold.order[starts[number]] = row
                starts[number] += 1
                at += 1
        for group in groups:
            count_ops(fold, group)
        return groups
    finally:
        PyMem_RawFree(key_words)
        PyMem_RawFree(members)
        PyMem_RawFree(firsts)
        PyMem_RawFree(starts)


cdef tuple kind_of(Fold fold, Py_ssize_t row, bint soft_delete, const uint64_t *key_words):
    """Whether the group of this row removes, and its bitmap."""
    cdef bint removes = not soft_delete and final_op(fold, row) == DELETE_OP
    cdef const uint64_t *bitmap = key_words
    cdef Py_ssize_t at
    if not removes:
        if fold.bitmaps == NULL:
            return False, 0
        bitmap = fold.bitmaps + row * fold.words
    value = 0
    for at in reversed(range(fold.words)):
        value = value << 64 | bitmap[at]
    return removes, value


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
    folded.groups = make_groups(images, non_key_bitmap, soft_delete)
    folded.folded_count = images.folded_count
    return folded
