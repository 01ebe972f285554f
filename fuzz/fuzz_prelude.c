/* What a server says before TLS. The first byte chooses the protocol and whether TLS is asked for; the rest is what the server sends. */
#include "fuzz.h"

#include "tls/prelude.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LENGTH_MAXIMUM 60000 /* what a pair of sockets takes at once */

static const char *const protocols[] = {"postgresql", "mysql", "mongodb", "sqlserver"};

static void converse(const struct prelude *prelude, struct stream *stream, bool asks)
{
    struct conversation conversation = {.stream = stream};
    char words[PRELUDE_WORDS_MAXIMUM] = "";
    enum greeting greeting = GREETING_REFUSED;
    unsigned char piece[512];
    kw_error error = {0};
    size_t got = 0;
    bool offered = false;
    kw_status status = KW_OK;
    if (asks && prelude->offer != NULL)
        status = prelude->offer(&conversation, &offered, &error);
    fuzz_judge(status, &error);
    if (status == KW_OK && offered && prelude->framing != NULL) {
        do {
            status = prelude->framing->receive(stream, piece, sizeof(piece), &got, &error);
        } while (status == KW_OK && got > 0);
        fuzz_judge(status, &error);
    } else if (status == KW_OK) {
        status = prelude->greet_plain(&conversation, &greeting, words, &error);
        fuzz_judge(status, &error);
    }
    /* Whoever shows it must be able to. */
    if (!text_is_clean(words, strlen(words)) ||
        (status != KW_OK && stream->end == STREAM_GOES_ON && !stream->wire->ended))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct wire wire;
    struct stream stream = {.wire = &wire};
    int ends[2];
    if (length == 0 || length > LENGTH_MAXIMUM)
        return 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        abort();
    wire_begin(&wire, 10000);
    wire.socket = ends[0];
    if (write(ends[1], data + 1, length - 1) != (ssize_t)(length - 1) || shutdown(ends[1], SHUT_WR) != 0)
        abort();
    converse(prelude_find(protocols[data[0] % 4]), &stream, (data[0] & 4) != 0);
    wire_close(&wire);
    close(ends[1]);
    return 0;
}
