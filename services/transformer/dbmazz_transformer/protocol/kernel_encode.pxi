# Rows of a group as newline-delimited JSON.

from dbmazz.target import Codec

from dbmazz_transformer.protocol.malformed import EncodeError

cdef dict CODECS = {
    Codec.NUMBER: NUMBER,
    Codec.DECIMAL: DECIMAL,
    Codec.FLOAT: FLOAT,
    Codec.REAL: REAL,
    Codec.BOOL: BOOL,
    Codec.TEXT: TEXT,
    Codec.JSON: JSON,
    Codec.BYTEA: BYTEA,
    Codec.DATE: DATE,
    Codec.TIMESTAMP: TIMESTAMP,
    Codec.TIMESTAMPTZ: TIMESTAMPTZ,
    Codec.ARRAY: ARRAY,
}

# How a column is written. `key` is `,"name":`.
ctypedef struct Form:
    Bytes key
    Py_ssize_t key_size
    uint8_t codec
    uint8_t element
    uint8_t delimiter


# What the rows of a group are written with. `absent`: a bitmap, bit c % 8 of byte c / 8.
ctypedef struct Body:
    Out out
    const Form *forms
    Py_ssize_t column_count
    Bytes absent
    Bytes[3] tails
    Py_ssize_t[3] tail_sizes


cdef class Writer:
    # Names and kinds, for errors.
    cdef list names
    # Holds what the forms point into.
    cdef list keys
    cdef Form *forms
    cdef Py_ssize_t column_count

    def __cinit__(self, columns):
        cdef Py_ssize_t at = 0
        cdef bytes key
        columns = list(columns)
        self.names = [(column.name, column.kind.codec.value) for column in columns]
        self.keys = [b"," + column.key for column in columns]
        self.column_count = len(columns)
        self.forms = <Form *>claim(self.column_count, sizeof(Form))
        for at, column in enumerate(columns):
            key, kind = self.keys[at], column.kind
            self.forms[at].key, self.forms[at].key_size = bytes_of(key), len(key)
            self.forms[at].codec = CODECS[kind.codec]
            self.forms[at].element = CODECS[kind.element or Codec.TEXT]
            self.forms[at].delimiter = ord(kind.delimiter)
            if kind.element is Codec.ARRAY:
                raise ValueError("an array of arrays is an array of more dimensions")

    def __dealloc__(self):
        PyMem_RawFree(self.forms)

    def encode(self, Group group not None, tails):
        """One JSON object and a newline per row, and how many values a policy has changed."""
        cdef Body body
        cdef bytes bitmap
        cdef bytes insert, update, delete
        cdef Py_ssize_t column = 0, size
        cdef int status
        if group.fold is None or group.fold.column_count != self.column_count:
            raise ValueError("the rows have other columns than the layout")
        bitmap = group.bitmap.to_bytes(8 * group.fold.words, "little")
        insert, update, delete = tails
        body.forms, body.column_count, body.absent = self.forms, self.column_count, bytes_of(bitmap)
        body.tails[INSERT_OP], body.tail_sizes[INSERT_OP] = bytes_of(insert), len(insert)
        body.tails[UPDATE_OP], body.tail_sizes[UPDATE_OP] = bytes_of(update), len(update)
        body.tails[DELETE_OP], body.tail_sizes[DELETE_OP] = bytes_of(delete), len(delete)
        size = estimate(&body, group)
        body.out.object = new_bytes(NULL, size)
        try:
            body.out.at = <uint8_t *>PyBytes_AS_STRING(<object>body.out.object)
            body.out.used, body.out.room, body.out.changed = 0, size, 0
            with nogil:
                status = put_rows(&body, group, group.fold, &column)
            if status == NO_MEMORY:
                raise MemoryError()
            if status == MALFORMED:
                raise EncodeError(*self.names[column])
            if status == ABSENT:
                raise AssertionError(f"column {column} of a row is absent, and its bitmap does not say so")
            resize_bytes(&body.out.object, body.out.used)
            return <object>body.out.object, body.out.changed
        finally:
            Py_XDECREF(body.out.object)


cdef inline bint left_out(const Body *body, Py_ssize_t column) noexcept nogil:
    return body.absent[column >> 3] >> (column & 7) & 1


cdef Py_ssize_t estimate(const Body *body, Group group) noexcept:
    """Bytes of the body if few characters need escapes; what is not used is given back, and was never touched."""
    cdef Py_ssize_t per_row = max(body.tail_sizes[0], body.tail_sizes[1], body.tail_sizes[2]) + 24
    cdef Py_ssize_t at, values = 0
    for at in range(body.column_count):
        if not left_out(body, at):
            per_row += body.forms[at].key_size + 6
    for at in range(group.start, group.start + group.row_count):
        values += group.fold.images[group.fold.order[at]].size
    return group.row_count * per_row + values + values // 16 + 64


cdef int put_rows(Body *body, Group group, Fold fold, Py_ssize_t *column) noexcept nogil:
    """`column` is the one that is to blame when it fails."""
    cdef Out *out = &body.out
    cdef Py_ssize_t at, begin
    cdef int32_t row
    cdef int status
    cdef uint8_t op
    cdef uint8_t[20] digits
    cdef Py_ssize_t digit_count = 0
    cdef uint64_t version = 0
    for at in range(group.start, group.start + group.row_count):
        row = fold.order[at]
        begin = out.used
        status = put_cells(body, fold, row, column)
        if status != DONE:
            return status
        op = final_op(fold, row)
        if put(out, body.tails[op], body.tail_sizes[op]) != DONE:
            return NO_MEMORY
        # The first comma is where the brace belongs.
        if out.used > begin:
            out.at[begin] = c"{"
        if not group.removes:
            if digit_count == 0 or fold.versions[row] != version:
                version = fold.versions[row]
                digit_count = write_digits(digits, version)
            if put(out, digits, digit_count) != DONE:
                return NO_MEMORY
        if put_literal(out, "}\n", 2) != DONE:
            return NO_MEMORY
    return DONE


cdef int put_cells(Body *body, Fold fold, Py_ssize_t row, Py_ssize_t *column) noexcept nogil:
    cdef Out *out = &body.out
    cdef Bytes lengths = fold.images[row].lengths
    cdef Bytes value = fold.images[row].values
    cdef const Patch *patch = NULL
    cdef const Form *form
    cdef Py_ssize_t at, patched = 0
    cdef int32_t length
    cdef int status
    if fold.patches != NULL:
        patch = fold.patches[row]
    for at in range(body.column_count):
        form = &body.forms[at]
        length = cell_length(lengths, at)
        if not left_out(body, at):
            if put(out, form.key, form.key_size) != DONE:
                return NO_MEMORY
            if patch != NULL and patched < patch.count and patch.cells[patched].column == at:
                status = put_cell(out, form, patch.cells[patched].value, patch.cells[patched].length)
                patched += 1
            else:
                status = put_cell(out, form, value, length)
            if status != DONE:
                column[0] = at
                return status
        if length > 0:
            value += length
    return DONE


cdef inline int put_cell(Out *out, const Form *form, Bytes value, int32_t length) noexcept nogil:
    if length < 0:
        return put_null(out) if length == NULL_CELL else ABSENT
    if form.codec == ARRAY:
        return put_array(out, value, length, form.element, form.delimiter)
    return put_scalar(out, form.codec, value, length)


cdef int put_scalar(Out *out, uint8_t codec, Bytes value, Py_ssize_t size) noexcept nogil:
    if codec == NUMBER:
        return put(out, value, size)
    if codec == TEXT:
        return put_text(out, value, size)
    if codec == TIMESTAMP or codec == TIMESTAMPTZ:
        return put_timestamp(out, value, size, codec == TIMESTAMPTZ)
    if codec == BOOL:
        return put_bool(out, value, size)
    if codec == JSON:
        return put_json(out, value, size)
    if codec == DECIMAL or codec == FLOAT:
        return put_finite(out, value, size)
    if codec == REAL:
        return put_real(out, value, size)
    if codec == DATE:
        return put_date(out, value, size)
    return put_bytea(out, value, size)


cdef Py_ssize_t write_digits(uint8_t *digits, uint64_t number) noexcept nogil:
    """Decimal; at most 20 digits."""
    cdef uint8_t[20] backwards
    cdef Py_ssize_t count = 0, at
    while True:
        backwards[count] = c"0" + <uint8_t>(number % 10)
        count += 1
        number //= 10
        if number == 0:
            break
    for at in range(count):
        digits[at] = backwards[count - 1 - at]
    return count
