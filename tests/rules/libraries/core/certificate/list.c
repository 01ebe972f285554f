#include <jansson.h> /* BAD */
#include <openssl/ssl.h> /* BAD */
