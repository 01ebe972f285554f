/* What the fuzz targets share. Each has one function, which libFuzzer calls with one input after the other. */
#ifndef KEYWRIGHT_FUZZ_FUZZ_H
#define KEYWRIGHT_FUZZ_FUZZ_H

#include "base/crypto.h"
#include "base/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

/* One for all inputs. */
struct crypto *fuzz_crypto(void);
/* The input as text, up to its first NUL; free() it. */
char *fuzz_text(const uint8_t *data, size_t length);
/* A failure must say what it is, and libcrypto's queue must be empty after each call; else it is a finding. */
void fuzz_judge(kw_status status, const kw_error *error);

#endif
