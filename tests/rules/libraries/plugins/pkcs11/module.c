#include <libp11.h>
#include <p11-kit/pkcs11.h>
