# A batch, checked. The layout is that of ChangeBatch in protos/dbmazz/v1/change.proto.

from dbmazz_transformer.protocol.malformed import MalformedBatch, WrongSize

cdef enum:
    NULL_CELL = -1
    ABSENT_CELL = -2


cdef inline int32_t cell_length(Bytes lengths, Py_ssize_t column) noexcept nogil:
    return <int32_t>load_u32(lengths + 4 * column)


cdef class Rows:
    cdef readonly Py_ssize_t row_count
    cdef readonly Py_ssize_t column_count
    cdef readonly Py_ssize_t byte_count
    cdef readonly bint any_absent
    # u64 words of one row's bitmap.
    cdef Py_ssize_t words
    cdef Py_ssize_t run_count
    # Rows at the end that have an LSN of their own.
    cdef Py_ssize_t open_count
    cdef bytes ops, lengths, bitmaps, data, runs, commit_lsns, commit_times, change_lsns
    # Where each row starts in `data`, and the end.
    cdef int64_t *starts

    def __cinit__(self, batch, Py_ssize_t column_count):
        cdef Py_ssize_t rows = batch.row_count
        if column_count < 0:
            raise ValueError("column_count is negative")
        self.row_count, self.column_count = rows, column_count
        self.words = column_count // 64 + (column_count % 64 != 0 or column_count == 0)
        self.ops, self.lengths, self.bitmaps = batch.ops, batch.lengths, batch.absent_bitmaps
        self.runs, self.commit_lsns, self.commit_times = batch.run_row_counts, batch.commit_lsns, batch.commit_times
        self.change_lsns, self.data = batch.change_lsns, batch.data
        # Python's numbers: they do not overflow.
        _expect("ops", len(self.ops), batch.row_count)
        _expect("absent_bitmaps", len(self.bitmaps), batch.row_count * 8 * self.words)
        _expect("lengths", len(self.lengths), batch.row_count * column_count * 4)
        self.run_count = len(self.runs) // 4
        _expect("run_row_counts", len(self.runs) % 4, 0)
        _expect("commit_lsns", len(self.commit_lsns), self.run_count * 8)
        _expect("commit_times", len(self.commit_times), self.run_count * 8)
        _expect("xids", len(batch.xids), self.run_count * 4)
        self._check_runs()
        self.starts = <int64_t *>claim(rows + 1, sizeof(int64_t))
        self._check_cells()
        self.byte_count = rows * (1 + 4 * column_count + 8 * self.words) + len(self.data)

    def __dealloc__(self):
        PyMem_RawFree(self.starts)

    cdef _check_runs(self):
        cdef uint64_t total = 0
        cdef uint32_t last = 0
        cdef Py_ssize_t run
        cdef Bytes runs = bytes_of(self.runs)
        for run in range(self.run_count):
            last = load_u32(runs + 4 * run)
            total += last
        _expect("run_row_counts (sum)", total, self.row_count)
        if self.change_lsns:
            _expect("change_lsns", len(self.change_lsns), 8 * <Py_ssize_t>last)
            self.open_count = last

    cdef _check_cells(self):
        """Every length, the bitmaps against them, and their sum against the data.

        An absent cell that passed for a present one would be written as an empty value: the one thing that must not be.
        """
        cdef Py_ssize_t row = 0, bad_column = -1
        cdef uint64_t expected = 0, word = 0, any_bits = 0
        cdef bint differs = False
        cdef int64_t total = 0
        cdef int32_t length
        cdef Py_ssize_t column, end, index = 0
        cdef Bytes lengths = bytes_of(self.lengths), bitmaps = bytes_of(self.bitmaps)
        with nogil:
            for row in range(self.row_count):
                self.starts[row] = total
                column = 0
                for index in range(self.words):
                    end = min(column + 64, self.column_count)
                    word = 0
                    for column in range(column, end):
                        length = cell_length(lengths, column)
                        if length >= 0:
                            total += length
                        elif length == ABSENT_CELL:
                            word |= (<uint64_t>1) << (column & 63)
                        elif length != NULL_CELL:
                            bad_column = column
                            break
                    column = end
                    if bad_column >= 0:
                        break
                    expected = load_u64(bitmaps)
                    bitmaps += 8
                    any_bits |= expected
                    if word != expected:
                        differs = True
                        break
                if bad_column >= 0 or differs:
                    break
                lengths += 4 * self.column_count
            else:
                row = self.row_count
            self.starts[row] = total
        if bad_column >= 0:
            offset = (row * self.column_count + bad_column) * 4
            what = f"(row {row}, column {bad_column}) holds a number below -2; the peer speaks another protocol version"
            raise MalformedBatch("lengths", offset, what)
        if differs:
            offset = (row * self.words + index) * 8
            what = f"(row {row}) and the row's lengths do not tell the same absent columns"
            raise MalformedBatch("absent_bitmaps", offset, what)
        self.any_absent = any_bits != 0
        _expect("data", len(self.data), total)


cdef _expect(str field, found, wanted):
    if found != wanted:
        raise WrongSize(field, found, wanted)
