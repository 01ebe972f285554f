/* What lets the compiler check the arguments of functions like printf. */
#ifndef KEYWRIGHT_BASE_FORMAT_H
#define KEYWRIGHT_BASE_FORMAT_H

/* On Windows `printf` would mean Microsoft's own, which knows no %zu; mingw's is C's. */
#if defined(_WIN32)
#define KW_PRINTF(format_index, first) __attribute__((format(gnu_printf, format_index, first)))
#elif defined(__GNUC__)
#define KW_PRINTF(format_index, first) __attribute__((format(printf, format_index, first)))
#else
#define KW_PRINTF(format_index, first)
#endif

#endif
