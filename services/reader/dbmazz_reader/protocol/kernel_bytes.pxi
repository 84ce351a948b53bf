# Numbers in network and in little-endian order, bytes that grow, and errors that say where.

cdef struct Cell:
    # A value within the frame; `size` NULL_CELL or ABSENT_CELL when there is none.
    const uint8_t *at
    int32_t size


cdef struct Block:
    # A bytes object that grows, and where its bytes are. It is given away when it is taken, so nothing is copied, and a
    # thousand lanes do not each hold on to their largest batch. `likely` is what was needed then, and what is asked for
    # first next time.
    PyObject *whole
    uint8_t *at
    size_t size
    size_t capacity
    size_t likely


cdef struct Transaction:
    # What its rows share. `serial` counts Begins from 1; `commit_time` in microseconds since 1970.
    uint64_t serial
    uint64_t commit_lsn
    int64_t commit_time
    uint32_t xid


def complete_frames(take):
    """All frames that `take(1)` has."""
    cdef list frames = []
    cdef Py_ssize_t total = 0, size
    while True:
        answer = <tuple?>take(1)
        size, frame = answer
        if size <= 0:
            return frames, total, size
        frames.append(frame)
        total += size


cdef inline uint16_t load16(const uint8_t *at) noexcept:
    return <uint16_t>((<uint32_t>at[0] << 8) | at[1])


cdef inline uint32_t load32(const uint8_t *at) noexcept:
    return (<uint32_t>at[0] << 24) | (<uint32_t>at[1] << 16) | (<uint32_t>at[2] << 8) | at[3]


cdef inline uint64_t load64(const uint8_t *at) noexcept:
    return (<uint64_t>load32(at) << 32) | load32(at + 4)


cdef inline void store32(uint8_t *at, uint32_t value) noexcept:
    at[0] = <uint8_t>(value & 0xFF)
    at[1] = <uint8_t>((value >> 8) & 0xFF)
    at[2] = <uint8_t>((value >> 16) & 0xFF)
    at[3] = <uint8_t>(value >> 24)


cdef inline void store64(uint8_t *at, uint64_t value) noexcept:
    store32(at, <uint32_t>(value & 0xFFFFFFFFU))
    store32(at + 4, <uint32_t>(value >> 32))


cdef int grow(Block *block, size_t more) except -1:
    """Makes room for `more` bytes behind what is there; all is as it was when memory is short."""
    cdef size_t wanted
    cdef PyObject *grown
    if more > (<size_t>-1 >> 2) - block.size:
        raise MemoryError
    wanted = max(block.size + more, max(2 * block.capacity, max(block.likely, <size_t>64)))
    grown = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>wanted)
    if block.size:
        memcpy(PyBytes_AS_STRING(grown), block.at, block.size)
    Py_XDECREF(block.whole)
    block.whole = grown
    block.at = <uint8_t *>PyBytes_AS_STRING(grown)
    block.capacity = wanted
    return 0


cdef inline int reserve(Block *block, size_t more) except -1:
    if more > block.capacity - block.size:
        grow(block, more)
    return 0


cdef bytes take(Block *block):
    """The bytes; the block is empty afterwards."""
    cdef bytes taken = b""
    cdef size_t size = block.size
    if size:
        block.likely = size
        # Nobody else has the object, so it may change its size. When memory is short it is gone.
        block.size = 0
        _PyBytes_Resize(&block.whole, <Py_ssize_t>size)
        taken = <bytes>block.whole
    release(block)
    return taken


cdef inline void release(Block *block) noexcept:
    Py_XDECREF(block.whole)
    block.whole = NULL
    block.at = NULL
    block.size = block.capacity = 0


cdef bytes text_of(const Cell *cell):
    return (<const char *>cell.at)[: cell.size]


cdef object malformed(const uint8_t *body, Py_ssize_t at, str problem):
    return MalformedMessage(chr(body[0]), at, problem)


cdef object cut_short(const uint8_t *body, Py_ssize_t size):
    return malformed(body, size, "message ends within a row")
