/* A report in words: S7's two lines, the reasons, the certificate, and what can be done. */
#include "tls/report_private.h"

#include "base/buffer.h"
#include "tls/shown.h"

#include <ctype.h>
#include <string.h>

#define LABEL_WIDTH      13
#define FINGERPRINT_SIZE 100

static const char *const trusted[] = {"This connection is trusted."};
static const char *const untrusted[] = {"This connection is not trusted!",
                                        "The connection to the server is not considered secure."};

/* What can be done about a reason, here or on the server. */
static const struct help {
    const char *code, *label, *text;
} helps[] = {
    {"self-signed", "To trust it",
     "Compare the SHA-256 above with what `keywright show ssl-connection` says on the server,"},
    {"self-signed", "", "there: `keywright trust export -o server.pem`, and bring the file here,"},
    {"self-signed", "", "here, as root: `keywright trust install server.pem`."},
    {"unknown-root", "To trust it", "Get the authority's root certificate from those who run it,"},
    {"unknown-root", "", "here, as root: `keywright trust install FILE`."},
    {"unknown-issuer", "To trust it", "Get the authority's root certificate from those who run it,"},
    {"unknown-issuer", "", "here, as root: `keywright trust install FILE`."},
    {"unknown-issuer", "", "Intermediate certificates are the server's to send."},
    {"name-mismatch", "To mend it",
     "Connect by a name that the certificate has, or make one for this name on the server."},
    {"expired", "To mend it", "Replace the certificate on the server, or set this machine's clock right."},
    {"not-yet-valid", "To mend it", "Set the clock of this machine, or of the server, right."},
};
#define HELP_COUNT (sizeof(helps) / sizeof(helps[0]))

struct writing {
    struct arena *arena;
    kw_trust_line *lines;
    size_t count, room;
};

static void add(struct writing *writing, const char *label, const char *text)
{
    char *clean = arena_text(writing->arena, text);
    if (clean == NULL || writing->count == writing->room)
        return;
    text_mask(clean);
    writing->lines[writing->count++] = (kw_trust_line){.label = label, .text = clean};
}

static void add_shown(struct writing *writing, const char *label, const char *text)
{
    add(writing, label, shown_text(writing->arena, text));
}

/* AB:CD:..., as browsers and openssl show it. */
static void fingerprint(const char *hex, char text[FINGERPRINT_SIZE])
{
    size_t length = 0;
    for (size_t i = 0; hex[i] != '\0' && length + 3 < FINGERPRINT_SIZE; i++) {
        if (i > 0 && i % 2 == 0)
            text[length++] = ':';
        text[length++] = (char)toupper((unsigned char)hex[i]);
    }
    text[length] = '\0';
}

static void add_server(struct writing *writing, const kw_trust_report *report)
{
    const bool has_host = report->host[0] != '\0', has_socket = report->address[0] != '\0';
    char *server =
        arena_format(writing->arena, "%s%s%s%s%s%s%s%s, %s", report->host, has_socket && has_host ? " " : "",
                     has_socket ? "port " : "", has_socket ? report->port : "", has_socket ? " (" : "", report->address,
                     has_socket ? ")" : "", has_host || has_socket ? "" : "not named", report->protocol);
    char *with_cipher = server != NULL && report->cipher[0] != '\0'
                            ? arena_format(writing->arena, "%s, %s", server, report->cipher)
                            : server;
    add(writing, "Server", with_cipher);
}

static void add_certificate(struct writing *writing, const kw_certificate_info *certificate)
{
    char sha256[FINGERPRINT_SIZE];
    fingerprint(certificate->sha256 != NULL ? certificate->sha256 : "", sha256);
    add_shown(writing, "Subject", certificate->subject);
    add_shown(writing, "Issuer", certificate->self_signed ? "itself (self-signed)" : certificate->issuer);
    add(writing, "Valid from", certificate->not_before_text);
    add(writing, "Valid until", certificate->not_after_text);
    for (size_t i = 0; i < certificate->san_count && i < SHOWN_NAMES_MAXIMUM; i++)
        add_shown(writing, i == 0 ? "Names" : "", certificate->san[i]);
    if (certificate->san_count > SHOWN_NAMES_MAXIMUM)
        add(writing, "", arena_format(writing->arena, "and %zu more", certificate->san_count - SHOWN_NAMES_MAXIMUM));
    add(writing, "SHA-256", sha256);
}

static void add_help(struct writing *writing, const kw_trust_report *report)
{
    for (size_t i = 0; i < report->problem_count; i++)
        for (size_t j = 0; j < HELP_COUNT; j++)
            if (strcmp(helps[j].code, report->problems[i].code) == 0)
                add(writing, helps[j].label, helps[j].text);
}

static char *print(struct arena *arena, const kw_trust_report *report)
{
    struct buffer text = {0};
    for (size_t i = 0; i < report->headline_count; i++)
        buffer_format(&text, "%s\n", report->headlines[i]);
    buffer_append_text(&text, "\n");
    for (size_t i = 0; i < report->line_count; i++)
        buffer_format(&text, "%-*s %s\n", LABEL_WIDTH, report->lines[i].label, report->lines[i].text);
    buffer_append_u8(&text, 0);
    char *copy = text.failed ? NULL : arena_text(arena, (const char *)text.data);
    if (copy == NULL)
        arena->failed = true;
    buffer_free(&text);
    return copy;
}

void report_write(kw_trust_report *report, struct arena *arena)
{
    struct writing writing = {.arena = arena,
                              .room = report->problem_count * (1 + HELP_COUNT) + SHOWN_NAMES_MAXIMUM + 8};
    if (arena->failed)
        return;
    writing.lines = arena_allocate(arena, writing.room * sizeof(*writing.lines));
    if (writing.lines == NULL)
        return;
    for (size_t i = 0; i < report->problem_count; i++)
        add(&writing, i == 0 ? "Reason" : "", report->problems[i].sentence);
    add_server(&writing, report);
    add_certificate(&writing, report->certificate);
    add_help(&writing, report);
    report->headlines = report->trusted ? trusted : untrusted;
    report->headline_count = report->trusted ? 1 : sizeof(untrusted) / sizeof(untrusted[0]);
    report->lines = writing.lines;
    report->line_count = writing.count;
    report->text = print(arena, report);
}
