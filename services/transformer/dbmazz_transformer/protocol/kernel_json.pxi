# JSON tokens from PostgreSQL's text form. What each StarRocks type accepts is in the StarRocks manual under "Load JSON data";
# the traps: a zone behind a timestamp, and `BC`, are ignored silently, VARBINARY takes the bytes of the text, and JSON has no
# NaN and no infinity.

from datetime import UTC, datetime

cdef extern from "Python.h":
    int resize_bytes "_PyBytes_Resize"(PyObject **value, Py_ssize_t size) except -1
    PyObject *new_bytes "PyBytes_FromStringAndSize"(const char *value, Py_ssize_t size) except NULL

# Numbers of dbmazz.target.Codec, in its order; CODECS below maps them.
cdef enum:
    NUMBER = 0
    DECIMAL = 1
    FLOAT = 2
    REAL = 3
    BOOL = 4
    TEXT = 5
    JSON = 6
    BYTEA = 7
    DATE = 8
    TIMESTAMP = 9
    TIMESTAMPTZ = 10
    ARRAY = 11

# What a token's writer answers beside DONE and NO_MEMORY (an exception is set).
cdef enum:
    # The value is not in the text form of its type.
    MALFORMED = -4
    # The image lacks a column that its bitmap says it has: a defect.
    ABSENT = -5

# A growing bytes object. `room` bytes from `at` may be written.
ctypedef struct Out:
    PyObject *object
    uint8_t *at
    Py_ssize_t used
    Py_ssize_t room
    # Values that a declared policy has changed.
    Py_ssize_t changed

cdef const char *HEX = "0123456789abcdef"
cdef const char *BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
# The letter behind the backslash for bytes that need one, `u` for \u00XX, 0 for all others.
cdef uint8_t[256] ESCAPES
# The value of a hexadecimal digit, 255 for all others.
cdef uint8_t[256] DIGITS


cdef _fill_tables():
    cdef int code, value
    memset(ESCAPES, 0, 256)
    memset(ESCAPES, c"u", 32)
    for code, letter in {8: c"b", 9: c"t", 10: c"n", 12: c"f", 13: c"r", 34: c'"', 92: c"\\"}.items():
        ESCAPES[code] = letter
    memset(DIGITS, 255, 256)
    for value in range(16):
        DIGITS[<uint8_t>HEX[value]] = value
        if value > 9:
            DIGITS[<uint8_t>HEX[value] - 32] = value


_fill_tables()


cdef int grow(Out *out, Py_ssize_t size) noexcept with gil:
    try:
        out.room = out.used + size + (out.used >> 1)
        resize_bytes(&out.object, out.room)
        out.at = <uint8_t *>PyBytes_AS_STRING(<object>out.object)
        return DONE
    except MemoryError:
        return NO_MEMORY


cdef inline int reserve(Out *out, Py_ssize_t size) noexcept nogil:
    return DONE if out.room - out.used >= size else grow(out, size)


cdef inline int put(Out *out, Bytes value, Py_ssize_t size) noexcept nogil:
    if reserve(out, size) != DONE:
        return NO_MEMORY
    memcpy(out.at + out.used, value, size)
    out.used += size
    return DONE


cdef inline int put_literal(Out *out, const char *value, Py_ssize_t size) noexcept nogil:
    return put(out, <Bytes>value, size)


cdef inline int put_quoted(Out *out, Bytes value, Py_ssize_t size) noexcept nogil:
    """A value that needs no escapes."""
    if reserve(out, size + 2) != DONE:
        return NO_MEMORY
    out.at[out.used] = c'"'
    memcpy(out.at + out.used + 1, value, size)
    out.at[out.used + size + 1] = c'"'
    out.used += size + 2
    return DONE


cdef inline int put_null(Out *out) noexcept nogil:
    return put_literal(out, "null", 4)


cdef inline int put_changed(Out *out) noexcept nogil:
    """NULL in place of a value that has none in the target."""
    out.changed += 1
    return put_null(out)


cdef int put_text(Out *out, Bytes value, Py_ssize_t size) noexcept nogil:
    """A JSON string of UTF-8 (RFC 8259, 7): what needs no escape is copied eight bytes at a time."""
    cdef Py_ssize_t at = 0, end
    cdef uint64_t word
    cdef uint8_t *to
    cdef uint8_t letter
    # Room for all that is left as it is, for six more of one escape, and for the quotes.
    if reserve(out, size + 8) != DONE:
        return NO_MEMORY
    to = out.at + out.used
    to[0] = c'"'
    to += 1
    while at < size:
        if size - at >= 8:
            word = native_u64(value + at)
            if not any_special(word):
                memcpy(to, value + at, 8)
                to += 8
                at += 8
                continue
        end = min(at + 8, size)
        while at < end:
            letter = ESCAPES[value[at]]
            if letter == 0:
                to[0] = value[at]
                to += 1
            else:
                out.used = to - out.at
                if reserve(out, size - at + 8) != DONE:
                    return NO_MEMORY
                to = out.at + out.used
                to[0] = c"\\"
                to[1] = letter
                to += 2
                if letter == c"u":
                    to[0] = to[1] = c"0"
                    to[2] = HEX[value[at] >> 4]
                    to[3] = HEX[value[at] & 15]
                    to += 4
            at += 1
    to[0] = c'"'
    out.used = to + 1 - out.at
    return DONE


cdef int put_json(Out *out, Bytes value, Py_ssize_t size) noexcept nogil:
    """The document as it is. Inside strings a newline is escaped, so a bare one is whitespace, and would end the row."""
    cdef uint8_t *at
    cdef uint8_t *end
    if put(out, value, size) != DONE:
        return NO_MEMORY
    end = out.at + out.used
    at = end - size
    while at < end:
        at = <uint8_t *>memchr(at, c"\n", end - at)
        if at == NULL:
            break
        at[0] = c" "
        at += 1
    return DONE


cdef inline bint is_digit(uint8_t code) noexcept nogil:
    return c"0" <= code <= c"9"


cdef int put_finite(Out *out, Bytes value, Py_ssize_t size) noexcept nogil:
    """numeric and floats. Policy: NaN, Infinity and -Infinity become NULL; JSON and DECIMAL have no place for them."""
    if size == 0:
        return MALFORMED
    return put(out, value, size) if is_digit(value[size - 1]) else put_changed(out)


cdef int put_real(Out *out, Bytes value, Py_ssize_t size) noexcept nogil:
    """float4: as put_finite, and the largest number with the digits of a double, else it is one too large for a FLOAT."""
    cdef Py_ssize_t sign = size > 0 and value[0] == c"-"
    if size == sign + 13 and memcmp(value + sign, <const char *>"3.4028235e+38", 13) == 0:
        if put(out, value, sign) != DONE:
            return NO_MEMORY
        return put_literal(out, "3.4028234663852886e+38", 22)
    return put_finite(out, value, size)


cdef int put_bool(Out *out, Bytes value, Py_ssize_t size) noexcept nogil:
    if size == 1 and value[0] == c"t":
        return put_literal(out, "true", 4)
    if size == 1 and value[0] == c"f":
        return put_literal(out, "false", 5)
    return MALFORMED


cdef int put_bytea(Out *out, Bytes value, Py_ssize_t size) noexcept nogil:
    r"""`\x...` to base64."""
    cdef uint8_t *to
    cdef Py_ssize_t count, at
    cdef uint32_t three
    cdef uint8_t[6] digits
    cdef int digit
    if size < 2 or size % 2 != 0 or value[0] != c"\\" or value[1] != c"x":
        return MALFORMED
    value += 2
    count = (size - 2) // 2
    if reserve(out, (count + 2) // 3 * 4 + 2) != DONE:
        return NO_MEMORY
    to = out.at + out.used
    to[0] = c'"'
    to += 1
    while count > 0:
        for digit in range(6):
            digits[digit] = 0
            if digit < 2 * count:
                digits[digit] = DIGITS[value[digit]]
                if digits[digit] == 255:
                    return MALFORMED
        three = 0
        for digit in range(6):
            three = three << 4 | digits[digit]
        to[0] = BASE64[three >> 18]
        to[1] = BASE64[three >> 12 & 63]
        to[2] = BASE64[three >> 6 & 63] if count > 1 else c"="
        to[3] = BASE64[three & 63] if count > 2 else c"="
        to += 4
        value += 6
        count -= 3
    to[0] = c'"'
    out.used = to + 1 - out.at
    return DONE


cdef int put_date(Out *out, Bytes value, Py_ssize_t size) noexcept nogil:
    """Policy: BC, infinity and years beyond 9999 become NULL. All of them differ in length from YYYY-MM-DD."""
    return put_quoted(out, value, size) if size == 10 else put_changed(out)


cdef int put_timestamp(Out *out, Bytes value, Py_ssize_t size, bint zone) noexcept nogil:
    """As put_date; a fifth character other than `-` tells infinity and five-digit years, a last `C` tells BC.

    `zone`: in UTC and without zone. Sessions are fixed to UTC; another offset is converted all the same.
    """
    if size < 5:
        return MALFORMED
    if value[4] != c"-" or value[size - 1] == c"C":
        return put_changed(out)
    if not zone:
        return put_quoted(out, value, size)
    if memcmp(value + size - 3, <const char *>"+00", 3) == 0:
        return put_quoted(out, value, size - 3)
    return put_converted(out, value, size)


cdef int put_converted(Out *out, Bytes value, Py_ssize_t size) noexcept with gil:
    """A timestamp in another zone; no session of the reader has one, so this is not worth a calendar in C."""
    cdef bytes text
    try:
        moment = datetime.fromisoformat(value[:size].decode())
        try:
            moment = moment.astimezone(UTC)
        except OverflowError:  # 0001-01-01 east of Greenwich
            return put_changed(out)
        text = moment.replace(tzinfo=None).isoformat(" ").encode()
        return put_quoted(out, bytes_of(text), len(text))
    except ValueError:
        return MALFORMED
    except MemoryError:
        return NO_MEMORY
