# PostgreSQL's array literals as JSON arrays: "Array Input and Output Syntax" in its manual. Elements in braces, nested for more
# dimensions, quoted where needed, with explicit bounds in front (`[0:2]={...}`) when they do not start at 1.

# What comes next in a literal.
cdef enum:
    ARRAY_END = 0
    OPENED = 1
    CLOSED = 2
    DELIMITER = 3
    PLAIN = 4
    QUOTED = 5
    WRONG = 6

# A place in a literal; `start` and `size` are those of the last element, without its quotes.
ctypedef struct Literal:
    Bytes text
    Py_ssize_t size
    Py_ssize_t at
    uint8_t delimiter
    Py_ssize_t start
    Py_ssize_t length
    # The last element, quoted, holds a backslash.
    bint escaped


cdef Py_ssize_t bounds_end(Bytes text, Py_ssize_t size) noexcept nogil:
    """Where the braces begin: behind `[-1:0][2:3]=`, or 0 when that is not what the literal begins with."""
    cdef Py_ssize_t at = 0
    cdef int number
    while at < size and text[at] == c"[":
        at += 1
        for number in range(2):
            if at < size and text[at] == c"-":
                at += 1
            if at >= size or not is_digit(text[at]):
                return 0
            while at < size and is_digit(text[at]):
                at += 1
            if at >= size or text[at] != (c"]" if number else c":"):
                return 0
            at += 1
    return at + 1 if 0 < at < size and text[at] == c"=" else 0


cdef int next_token(Literal *literal) noexcept nogil:
    cdef Bytes text = literal.text
    cdef Py_ssize_t at = literal.at
    cdef uint8_t code
    if at >= literal.size:
        return ARRAY_END
    code = text[at]
    literal.at = at + 1
    if code == c"{":
        return OPENED
    if code == c"}":
        return CLOSED
    if code == literal.delimiter:
        return DELIMITER
    if code == c'"':
        return next_quoted(literal)
    literal.start = at
    while at < literal.size:
        code = text[at]
        if code == c"{" or code == c"}" or code == c'"' or code == c"\\" or code == literal.delimiter:
            break
        at += 1
    literal.at, literal.length, literal.escaped = at, at - literal.start, False
    return PLAIN if literal.length else WRONG


cdef int next_quoted(Literal *literal) noexcept nogil:
    cdef Py_ssize_t at = literal.at
    literal.start, literal.escaped = at, False
    while at < literal.size and literal.text[at] != c'"':
        if literal.text[at] == c"\\":
            literal.escaped = True
            at += 1
        at += 1
    if at >= literal.size:
        return WRONG
    literal.at, literal.length = at + 1, at - literal.start
    return QUOTED


cdef bint is_array(Literal literal) noexcept nogil:
    """True when the whole of it is one literal."""
    cdef Py_ssize_t depth = 0
    cdef bint value_may_come = True  # after `{` or a delimiter
    cdef int token, before = ARRAY_END
    while True:
        token = next_token(&literal)
        if token == ARRAY_END:
            return depth == 0 and before == CLOSED
        if token == WRONG or (depth == 0 and (before != ARRAY_END or token != OPENED)):
            return False
        if token == OPENED:
            if not value_may_come:
                return False
            depth += 1
        elif token == CLOSED:
            # `{}` is the empty array; `{1,}` is nothing.
            if value_may_come and before != OPENED:
                return False
            depth -= 1
            value_may_come = False
        elif token == DELIMITER:
            if value_may_come:
                return False
            value_may_come = True
        else:
            if not value_may_come:
                return False
            value_may_come = False
        before = token


cdef int put_array(Out *out, Bytes value, Py_ssize_t size, uint8_t element, uint8_t delimiter) noexcept nogil:
    """Policy: what is not an array literal (int2vector, say) travels as a JSON string of its text, so nothing is lost."""
    cdef Literal literal
    cdef int token, status = DONE
    literal.text, literal.size, literal.delimiter = value, size, delimiter
    literal.at = bounds_end(value, size)
    literal.start = literal.length = 0
    literal.escaped = False
    if not is_array(literal):
        out.changed += 1
        return put_text(out, value, size)
    while status == DONE:
        token = next_token(&literal)
        if token == OPENED:
            status = put_literal(out, "[", 1)
        elif token == CLOSED:
            status = put_literal(out, "]", 1)
        elif token == DELIMITER:
            status = put_literal(out, ",", 1)
        elif token == PLAIN and literal.length == 4 and memcmp(value + literal.start, <const char *>"NULL", 4) == 0:
            status = put_null(out)
        elif token == PLAIN or token == QUOTED:
            status = put_element(out, value + literal.start, literal.length, element, literal.escaped)
        else:
            break
    return status


cdef int put_element(Out *out, Bytes value, Py_ssize_t size, uint8_t element, bint escaped) noexcept nogil:
    cdef uint8_t *plain
    cdef Py_ssize_t at = 0, count = 0
    cdef int status
    if not escaped:
        return put_scalar(out, element, value, size)
    plain = <uint8_t *>PyMem_RawMalloc(size)
    if plain == NULL:
        return no_memory()
    while at < size:
        if value[at] == c"\\":
            at += 1
        plain[count] = value[at]
        count += 1
        at += 1
    status = put_scalar(out, element, plain, count)
    PyMem_RawFree(plain)
    return status


cdef int no_memory() noexcept with gil:
    return NO_MEMORY
