# Row images (TupleData), read to their end before anything of them is stored.

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
