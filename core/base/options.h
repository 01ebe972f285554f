/* Structs that callers fill and that begin with their size: taken over as far as the caller knows them. */
#ifndef KEYWRIGHT_BASE_OPTIONS_H
#define KEYWRIGHT_BASE_OPTIONS_H

#include "base/error.h"

/*
 * Copies `given`, whose first member is a size_t with its size, to `known` of `known_size` bytes, whose rest is zero; then known's size
 * is its own. NULL: all zero. KW_INVALID_ARGUMENT: the size was not set.
 */
KW_MUST_USE kw_status options_take(void *known, size_t known_size, const void *given, kw_error *error);

#endif
