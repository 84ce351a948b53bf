# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""CopyData frames to packed rows per lane, many frames per call: the reader's hot loop.

Rows of known relations, Begin, Commit and keepalives that want no answer are done here entirely; a frame of any other kind
stops the call at its index.
Every length that comes from outside is held against what is left of its frame before it is used, a row is read to its end
before the first byte of it is stored, and what does not fit is a MalformedMessage with letter and offset. kernel.pyi has
the signatures; tests/reference/reader has the same in plain Python, held to the same tests.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.list cimport PyList_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from libc.stdint cimport INT32_MAX, INT64_MAX, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy, memset

cdef extern from "Python.h":
    PyObject *PyBytes_FromStringAndSize(const char *, Py_ssize_t) except NULL
    char *PyBytes_AS_STRING(PyObject *)
    int _PyBytes_Resize(PyObject **, Py_ssize_t) except -1
    void Py_XDECREF(PyObject *)

from dbmazz_reader.protocol.frames import POSTGRES_EPOCH_US as _EPOCH_US
from dbmazz_reader.protocol.frames import unknown_frame
from dbmazz_reader.protocol.malformed import MalformedMessage
from dbmazz_reader.protocol.readbacks import Readback
from dbmazz_reader.protocol.relations import key_not_carried

# What `take` gives; see kernel.pyi.
Fields = tuple

# Why a call of `decode_rows` stopped.
END = 0
LIMIT = 1
KEEPALIVE = 2
RARE = 3

cdef enum:
    STOP_END = 0
    STOP_LIMIT = 1
    STOP_KEEPALIVE = 2
    STOP_RARE = 3
    # Lengths of cells, of dbmazz.rows.
    NULL_CELL = -1
    ABSENT_CELL = -2
    # Operation of types.proto.
    INSERT = 1
    UPDATE = 2
    DELETE = 3
    READ = 4
    # u8 'w' · u64 start LSN of the data · u64 end LSN of the server's WAL · i64 send time
    XLOG_DATA_HEADER = 25
    # u8 'k' · u64 end LSN of what was sent · i64 send time · u8 reply requested
    KEEPALIVE_BYTES = 18
    # u8 'B' · u64 LSN of the commit record · i64 commit time · u32 xid
    BEGIN_BYTES = 21
    # u8 'C' · u8 flags · u64 LSN of the commit record · u64 end LSN of the transaction · i64 commit time
    COMMIT_BYTES = 26
    # Between the versions of a load's rows and the commit that follows them: one for each truncate of one transaction.
    TRUNCATES_ROOM = 16
    # Relations whose lane is found without asking the dict.
    NEAR = 64

cdef int64_t EPOCH_US = _EPOCH_US

include "kernel_bytes.pxi"
include "kernel_lane.pxi"
include "kernel_image.pxi"
include "kernel_decoder.pxi"
include "kernel_chunk.pxi"
