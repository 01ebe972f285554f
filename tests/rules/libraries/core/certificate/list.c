#include <jansson.h> /* BAD */
#include <openssl/ssl.h> /* BAD */
#include <curl/curl.h> /* BAD */
