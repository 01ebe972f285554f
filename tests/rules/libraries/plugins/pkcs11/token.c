#include <libp11.h> /* BAD */
#include <p11-kit/pkcs11.h>
