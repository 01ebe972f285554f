#include "subkey/high_water.h"

#include "base/buffer.h"
#include "base/file.h"
#include "base/run_lock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TITLE        "keywright root marks 1\n"
#define LABEL        "root marks"
#define FILE_MAXIMUM (1u << 20)
#define MAC_DIGITS   (2 * SHA256_LENGTH)
#define TAIL_LENGTH  (sizeof("mac ") - 1 + MAC_DIGITS + 1)
#define LINE_MAXIMUM 80

/* The lines between the title and the HMAC: "MASTER VERSIONS GENERATIONS". */
struct marks {
    kw_bytes file;
    kw_input lines; /* borrows from it */
};

static char *marks_path(const struct root_place *place)
{
    return path_join(place->settings->state, HIGH_WATER_FILE);
}

static kw_status marks_mac(const struct root_place *place, kw_input text, char digits[MAC_DIGITS + 1], kw_error *error)
{
    unsigned char key[SHA256_LENGTH] = {0}, mac[SHA256_LENGTH] = {0};
    kw_status status = catalogue_derive(place->catalogue, LABEL, (kw_input){0}, key, error);
    if (status == KW_OK)
        status = crypto_hmac_sha256(place->crypto, (kw_input){key, sizeof(key)}, text, mac, error);
    hex_encode((kw_input){mac, sizeof(mac)}, digits);
    secret_wipe(key, sizeof(key));
    return status;
}

static kw_status marks_corrupt(const char *path, kw_error *error)
{
    const kw_status status = error_set(
        error, KW_CORRUPT, "what this server has noted of root secrets is damaged, or was changed by somebody else");
    error_where(error, "%s", path);
    error_remedy(error,
                 "find out who did it. Once you trust the catalogue as it is, remove the file: it is made anew, from "
                 "what the catalogue says then");
    return status;
}

/* ---- Reading -------------------------------------------------------------------------------------------- */

static kw_status marks_verify(const struct root_place *place, const char *path, struct marks *marks, kw_error *error)
{
    const kw_input text = {marks->file.data, marks->file.length};
    const size_t title = sizeof(TITLE) - 1;
    char tail[TAIL_LENGTH + 1] = "mac ";
    kw_status status = KW_OK;
    if (text.length < title + TAIL_LENGTH || memcmp(text.data, TITLE, title) != 0)
        return marks_corrupt(path, error);
    status = marks_mac(place, (kw_input){text.data, text.length - TAIL_LENGTH}, tail + 4, error);
    if (status != KW_OK)
        return status;
    tail[TAIL_LENGTH - 1] = '\n';
    if (!crypto_equal(tail, text.data + text.length - TAIL_LENGTH, TAIL_LENGTH))
        return marks_corrupt(path, error);
    marks->lines = (kw_input){text.data + title, text.length - title - TAIL_LENGTH};
    return KW_OK;
}

/* No file: no lines. */
static kw_status marks_read(const struct root_place *place, struct marks *marks, kw_error *error)
{
    char *path = marks_path(place);
    kw_status status = path != NULL ? file_read(path, FILE_MAXIMUM, &marks->file, error) : error_memory(error);
    if (status == KW_OK)
        status = marks_verify(place, path, marks, error);
    else
        status = error_tolerate(status, KW_NOT_FOUND, error);
    free(path);
    return status;
}

static void marks_clear(struct marks *marks)
{
    kw_bytes_free(&marks->file);
    *marks = (struct marks){0};
}

/* Takes the next line off; its text without the end. */
static bool next_line(kw_input *lines, kw_input *line)
{
    const unsigned char *end = lines->length > 0 ? memchr(lines->data, '\n', lines->length) : NULL;
    if (end == NULL)
        return false;
    *line = (kw_input){lines->data, (size_t)(end - lines->data)};
    lines->data = end + 1;
    lines->length -= line->length + 1;
    return true;
}

static bool line_is_of(kw_input line, const char master[ID_TEXT_SIZE])
{
    return line.length >= ID_TEXT_SIZE && memcmp(line.data, master, ID_TEXT_SIZE - 1) == 0;
}

static bool marks_find(kw_input lines, const struct id *master, struct high_water *mark)
{
    char text[ID_TEXT_SIZE], copy[LINE_MAXIMUM];
    kw_input line;
    id_text(master, text);
    *mark = (struct high_water){0};
    while (next_line(&lines, &line)) {
        if (!line_is_of(line, text))
            continue;
        snprintf(copy, sizeof(copy), "%.*s", (int)(line.length - (ID_TEXT_SIZE - 1)),
                 (const char *)line.data + ID_TEXT_SIZE - 1);
        return sscanf(copy, " %" SCNu32 " %" SCNu64, &mark->versions, &mark->generations) == 2;
    }
    return true;
}

kw_status high_water_read(const struct root_place *place, const struct id *master, struct high_water *mark,
                          kw_error *error)
{
    struct marks marks = {0};
    kw_status status = marks_read(place, &marks, error);
    if (status == KW_OK && !marks_find(marks.lines, master, mark))
        status = marks_corrupt(HIGH_WATER_FILE, error);
    marks_clear(&marks);
    return status;
}

/* ---- Writing -------------------------------------------------------------------------------------------- */

/* All other lines as they are. */
static kw_status marks_write(const struct root_place *place, kw_input lines, const struct id *master,
                             const struct high_water *mark, kw_error *error)
{
    struct buffer text = {0};
    char id[ID_TEXT_SIZE], digits[MAC_DIGITS + 1];
    char *path = marks_path(place);
    kw_input line;
    kw_status status = KW_OK;
    id_text(master, id);
    buffer_append_text(&text, TITLE);
    while (next_line(&lines, &line))
        if (!line_is_of(line, id))
            buffer_append(&text, line.data, line.length + 1);
    if (mark != NULL)
        buffer_format(&text, "%s %" PRIu32 " %" PRIu64 "\n", id, mark->versions, mark->generations);
    if (path == NULL || text.failed) {
        status = error_memory(error);
        goto out;
    }
    status = marks_mac(place, buffer_view(&text), digits, error);
    if (status != KW_OK)
        goto out;
    buffer_format(&text, "mac %s\n", digits);
    status = text.failed ? error_memory(error) : file_replace(path, buffer_view(&text), 0600, error);
    if (status == KW_OK)
        status = file_give_to_owner(path, place->settings->state, error);
out:
    buffer_free(&text);
    free(path);
    return status;
}

static kw_status marks_lock(const struct root_place *place, struct run_lock **lock, kw_error *error)
{
    char *path = path_join(place->settings->state, "run/" HIGH_WATER_FILE ".lock");
    const kw_status status = path != NULL ? run_lock_take(path, true, lock, error) : error_memory(error);
    free(path);
    return status;
}

kw_status high_water_raise(const struct root_place *place, const struct id *master, const struct high_water *seen,
                           kw_error *error)
{
    struct run_lock *lock = NULL;
    struct marks marks = {0};
    struct high_water mark = {0};
    kw_status status = marks_lock(place, &lock, error);
    if (status == KW_OK)
        status = marks_read(place, &marks, error);
    if (status == KW_OK && !marks_find(marks.lines, master, &mark))
        status = marks_corrupt(HIGH_WATER_FILE, error);
    if (status == KW_OK && (mark.versions < seen->versions || mark.generations < seen->generations)) {
        mark.versions = mark.versions < seen->versions ? seen->versions : mark.versions;
        mark.generations = mark.generations < seen->generations ? seen->generations : mark.generations;
        status = marks_write(place, marks.lines, master, &mark, error);
    }
    marks_clear(&marks);
    run_lock_release(lock, true);
    return status;
}

kw_status high_water_forget(const struct root_place *place, const struct id *master, kw_error *error)
{
    struct run_lock *lock = NULL;
    struct marks marks = {0};
    struct high_water mark = {0};
    kw_status status = marks_lock(place, &lock, error);
    if (status == KW_OK)
        status = marks_read(place, &marks, error);
    if (status == KW_OK && (!marks_find(marks.lines, master, &mark) || mark.versions > 0))
        status = marks_write(place, marks.lines, master, NULL, error);
    marks_clear(&marks);
    run_lock_release(lock, true);
    return status;
}

kw_status high_water_check(const struct root_place *place, const struct id *master, const struct high_water *mark,
                           const struct high_water *read, kw_error *error)
{
    struct entry_row entry = {0};
    char text[ID_TEXT_SIZE];
    kw_status status;
    if (read->versions >= mark->versions && read->generations >= mark->generations)
        return KW_OK;
    id_text(master, text);
    if (catalogue_entry_get_by_id(place->catalogue, master, &entry, NULL) != KW_OK)
        entry = (struct entry_row){0};
    status = read->versions < mark->versions
                 ? error_set(
                       error, KW_CORRUPT,
                       "the catalogue has %u root secrets of %s, and this server has seen %u: it is an older one, "
                       "or somebody removed rows",
                       (unsigned)read->versions, entry.address != NULL ? entry.address : text, (unsigned)mark->versions)
                 : error_set(error, KW_CORRUPT,
                             "the root secrets of %s are older than what this server has seen: the catalogue is an "
                             "older one, or somebody put an old row back",
                             entry.address != NULL ? entry.address : text);
    error_where(error, "%s", catalogue_description(place->catalogue));
    error_remedy(error,
                 "restore the newest catalogue. If an older one was restored on purpose, remove %s/%s: what was sealed "
                 "since then under newer roots stays lost",
                 place->settings->state, HIGH_WATER_FILE);
    entry_row_clear(&entry);
    return status;
}
