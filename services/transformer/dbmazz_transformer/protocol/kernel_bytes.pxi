# Bytes as numbers, hashed, and scanned eight at a time.

import os

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    #define ONES UINT64_C(0x0101010101010101)
    #define HIGHS UINT64_C(0x8080808080808080)

    static inline uint64_t native_u64(const void *at) { uint64_t v; memcpy(&v, at, 8); return v; }

    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    static inline uint32_t load_u32(const void *at) { uint32_t v; memcpy(&v, at, 4); return __builtin_bswap32(v); }
    static inline uint64_t load_u64(const void *at) { return __builtin_bswap64(native_u64(at)); }
    #else
    static inline uint32_t load_u32(const void *at) { uint32_t v; memcpy(&v, at, 4); return v; }
    static inline uint64_t load_u64(const void *at) { return native_u64(at); }
    #endif

    static inline int bit_count(uint64_t v) { return __builtin_popcountll(v); }

    /* True when one of eight bytes must be escaped in a JSON string: below 0x20, a quote or a backslash. */
    static inline int any_special(uint64_t v) {
        uint64_t quote = v ^ (ONES * '"'), slash = v ^ (ONES * '\\\\');
        return (((v - ONES * 0x20) & ~v) | ((quote - ONES) & ~quote) | ((slash - ONES) & ~slash)) & HIGHS ? 1 : 0;
    }

    static inline uint64_t mixed(uint64_t a, uint64_t b) {
        unsigned __int128 product = (unsigned __int128)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }

    /* Multiply and fold, 16 bytes at a time. The secrets are drawn per process: keys come from outside, and whoever knew
       which of them collide could make folding slow. */
    static inline uint64_t hashed(const unsigned char *at, int64_t size, uint64_t hash, const uint64_t *secret) {
        uint64_t a = 0, b = 0;
        hash ^= mixed((uint64_t)size ^ secret[0], secret[1]);
        for (; size > 16; size -= 16, at += 16)
            hash = mixed(native_u64(at) ^ secret[2], native_u64(at + 8) ^ hash);
        if (size >= 8) {
            a = native_u64(at);
            b = native_u64(at + size - 8);
        } else if (size >= 4) {
            a = load_u32(at);
            b = load_u32(at + size - 4);
        } else if (size > 0) {
            a = (uint64_t)at[0] << 16 | (uint64_t)at[size >> 1] << 8 | at[size - 1];
        }
        return mixed(mixed(a ^ secret[2], b ^ hash) ^ secret[3], secret[0]);
    }
    """
    uint64_t native_u64(const void *at) noexcept nogil
    uint32_t load_u32(const void *at) noexcept nogil
    uint64_t load_u64(const void *at) noexcept nogil
    int bit_count(uint64_t v) noexcept nogil
    bint any_special(uint64_t v) noexcept nogil
    uint64_t hashed(const uint8_t *at, int64_t size, uint64_t hash, const uint64_t *secret) noexcept nogil


ctypedef const uint8_t *Bytes

cdef uint64_t[4] SECRET


cdef _draw_secret():
    cdef int number
    for number in range(4):
        # Odd: a factor of 0 would swallow the other one.
        SECRET[number] = int.from_bytes(os.urandom(8), "little") | 1


_draw_secret()


cdef inline Bytes bytes_of(bytes value) except NULL:
    if value is None:
        raise TypeError("bytes are needed, not None")
    return <Bytes>PyBytes_AS_STRING(value)


cdef inline void *claim(size_t count, size_t size) except NULL:
    """Zeroed memory for `count` items; MemoryError instead of NULL, and instead of an overflow (calloc checks)."""
    cdef void *memory = PyMem_RawCalloc(count if count else 1, size)
    if memory == NULL:
        raise MemoryError()
    return memory
