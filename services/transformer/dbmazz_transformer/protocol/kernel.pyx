# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, binding=False
"""The compiled part of the transformer: packed batches in, newline-delimited JSON out. See kernel.pyi for the shapes.

    check    a ChangeBatch's fields against each other, every length, before anything is read by them
    fold     once per key, column by column: a later image lacks what TOAST left out, an earlier one of the window may have it
    group    by absent columns, because StarRocks takes one set of columns per load
    encode   each group as JSON, straight from the packed values

After `check` no length is trusted to another one: cells lie back to back and their sum is that of the data, so a walk over a
row's lengths stays inside its row. The plain Python that does the same is in tests/reference/transformer.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport qsort
from libc.string cimport memchr, memcmp, memcpy, memset
from cpython.bytes cimport PyBytes_AS_STRING
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawMalloc
from cpython.ref cimport PyObject, Py_XDECREF

include "kernel_bytes.pxi"
include "kernel_rows.pxi"
include "kernel_window.pxi"
include "kernel_fold.pxi"
include "kernel_group.pxi"
include "kernel_json.pxi"
include "kernel_array.pxi"
include "kernel_encode.pxi"
