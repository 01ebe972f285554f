#include <jansson.h> /* BAD */
#include <curl/curl.h> /* BAD */
