// The embedding API is for C++ too.
#include <keywright/keywright.h>

static_assert(sizeof(kw_error) > sizeof(kw_status), "the headers were read");
