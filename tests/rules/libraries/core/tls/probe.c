#include <openssl/ssl.h>
#include <jansson.h> /* BAD */
