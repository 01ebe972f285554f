#include <libsmartcols/libsmartcols.h> /* BAD */
#include <p11-kit/pkcs11.h> /* BAD */
