#include "output.h"

#include <libsmartcols/libsmartcols.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const tint_sequences[] = {
    [TINT_NONE] = NULL,        [TINT_GOOD] = "\033[32m", [TINT_WARNING] = "\033[33m",
    [TINT_BAD] = "\033[1;31m", [TINT_FAINT] = "\033[2m", [TINT_STRONG] = "\033[1m",
};
#define TINT_END "\033[0m"

/* Where standard output goes to a pager, what its terminal is like. */
static struct {
    bool paged, colour;
    size_t width, height;
} page;

/* no-color.org: set and not empty means none. */
static bool colour_wanted(int file)
{
    const char *refused = getenv("NO_COLOR"), *terminal = getenv("TERM");

    if (file == STDOUT_FILENO && page.paged)
        return page.colour;
    return isatty(file) && (refused == NULL || refused[0] == '\0') && terminal != NULL && terminal[0] != '\0' &&
           strcmp(terminal, "dumb") != 0;
}

void output_page(void)
{
    struct libscols_table *scols = scols_new_table();

    if (scols == NULL)
        return;
    page.colour = colour_wanted(STDOUT_FILENO);
    page.width = scols_table_get_termwidth(scols);
    page.height = scols_table_get_termheight(scols);
    page.paged = true;
    scols_unref_table(scols);
}

/* ---- Tables ---- */

struct table {
    struct libscols_table *scols;
    const struct column *columns; /* a const table of the caller */
    size_t column_count;
    bool colour;
};

/* How much of the terminal a column that is cut keeps, as libsmartcols takes it. */
#define HINT_SMALL 0.05
#define HINT_HALF  0.5

struct table *table_new(const struct column *columns, size_t count)
{
    struct table *made = NULL;
    struct table *table = calloc(1, sizeof(*table));
    bool titled = false;

    if (table == NULL)
        return NULL;
    table->columns = columns;
    table->column_count = count;
    table->colour = colour_wanted(STDOUT_FILENO);
    table->scols = scols_new_table();
    if (table->scols == NULL)
        goto out;
    for (size_t i = 0; i < count; i++) {
        int flags = (columns[i].gives_way ? SCOLS_FL_TRUNC : 0) | (columns[i].wraps ? SCOLS_FL_WRAP : 0);
        double hint = columns[i].gives_way ? HINT_SMALL : i == 0 ? HINT_HALF : 0;
        const char *title = columns[i].title != NULL ? columns[i].title : "";
        titled = titled || columns[i].title != NULL;
        if (scols_table_new_column(table->scols, title, hint, flags) == NULL)
            goto out;
    }
    if (scols_table_set_column_separator(table->scols, titled ? "  " : " ") != 0 ||
        scols_table_enable_noheadings(table->scols, !titled) != 0 ||
        scols_table_enable_colors(table->scols, table->colour) != 0 ||
        scols_table_set_stream(table->scols, stdout) != 0)
        goto out;
    if (page.paged && (scols_table_set_termforce(table->scols, SCOLS_TERMFORCE_ALWAYS) != 0 ||
                       scols_table_set_termwidth(table->scols, page.width) != 0 ||
                       scols_table_set_termheight(table->scols, page.height) != 0 ||
                       scols_table_enable_header_repeat(table->scols, titled && page.height > 2) != 0))
        goto out;
    made = table;
    table = NULL;
out:
    table_free(table);
    return made;
}

void table_free(struct table *table)
{
    if (table == NULL)
        return;
    scols_unref_table(table->scols);
    free(table);
}

kw_status table_add(struct table *table, const char *const *cells, size_t count, enum tint tint, kw_error *error)
{
    struct libscols_line *line = scols_table_new_line(table->scols, NULL);

    if (line == NULL || (tint != TINT_NONE && scols_line_set_color(line, tint_sequences[tint]) != 0))
        return problem_memory(error);
    for (size_t i = 0; i < count; i++) {
        if (scols_line_set_data(line, i, cells[i] != NULL ? cells[i] : "") != 0)
            return problem_memory(error);
    }
    return KW_OK;
}

/* The widest cell of a column, in bytes: near enough to decide by. */
#define SEPARATOR_LENGTH 2

static size_t column_width(struct libscols_table *scols, size_t index)
{
    const char *title = scols_cell_get_data(scols_column_get_header(scols_table_get_column(scols, index)));
    size_t widest = title != NULL ? strlen(title) : 0;

    for (size_t i = 0; i < scols_table_get_nlines(scols); i++) {
        const char *text = scols_cell_get_data(scols_line_get_cell(scols_table_get_line(scols, i), index));
        if (text != NULL && strlen(text) > widest)
            widest = strlen(text);
    }
    return widest;
}

/* What the shown columns take at least, when the first is cut to half of the terminal at most. */
static size_t least_width(const struct table *table, size_t terminal)
{
    size_t sum = 0;

    for (size_t i = 0; i < table->column_count; i++) {
        struct libscols_column *column = scols_table_get_column(table->scols, i);
        size_t width = column_width(table->scols, i);
        if (scols_column_is_hidden(column))
            continue;
        if (scols_column_is_trunc(column))
            width = strlen(scols_column_get_name(column));
        else if (i == 0 && width > terminal / 2)
            width = terminal / 2;
        sum += width + SEPARATOR_LENGTH;
    }
    return sum > SEPARATOR_LENGTH ? sum - SEPARATOR_LENGTH : 0;
}

static void change_flags(struct libscols_column *column, int flags)
{
    scols_column_set_flags(column, scols_column_get_flags(column) | flags);
}

/* The shown column that is left out next; NULL: none may be. */
static struct libscols_column *most_optional(const struct table *table)
{
    struct libscols_column *most = NULL;
    unsigned highest = 0;

    for (size_t i = 0; i < table->column_count; i++) {
        struct libscols_column *column = scols_table_get_column(table->scols, i);
        if (!scols_column_is_hidden(column) && table->columns[i].optional > highest) {
            highest = table->columns[i].optional;
            most = column;
        }
    }
    return most;
}

/* libsmartcols cuts and wraps; it never leaves a column out, and it cuts only what it may. */
static void fit(struct table *table)
{
    size_t terminal = scols_table_get_termwidth(table->scols);
    struct libscols_column *column;

    while (least_width(table, terminal) > terminal && (column = most_optional(table)) != NULL)
        change_flags(column, SCOLS_FL_HIDDEN);
    column = scols_table_get_column(table->scols, 0);
    if (!scols_column_is_wrap(column) && !scols_column_is_trunc(column) && column_width(table->scols, 0) > terminal / 2)
        change_flags(column, SCOLS_FL_TRUNC);
}

kw_status table_print(struct table *table, kw_error *error)
{
    if (page.paged || isatty(STDOUT_FILENO))
        fit(table);
    if (scols_print_table(table->scols) != 0)
        return problem_memory(error);
    return KW_OK;
}

struct table *details_new(void)
{
    static const struct column columns[] = {{0}, {.wraps = true}};

    return table_new(columns, sizeof(columns) / sizeof(columns[0]));
}

kw_status details_add(struct table *details, const char *label, const char *value, kw_error *error)
{
    return details_add_tinted(details, label, value, TINT_NONE, error);
}

kw_status details_add_tinted(struct table *details, const char *label, const char *value, enum tint tint,
                             kw_error *error)
{
    const char *const cells[] = {label, value};
    struct libscols_line *line;
    kw_status status;

    if (value == NULL)
        return KW_OK;
    status = table_add(details, cells, sizeof(cells) / sizeof(cells[0]), tint, error);
    if (status != KW_OK)
        return status;
    line = scols_table_get_line(details->scols, scols_table_get_nlines(details->scols) - 1);
    if (scols_cell_set_color(scols_line_get_cell(line, 0), tint_sequences[TINT_STRONG]) != 0)
        return problem_memory(error);
    return KW_OK;
}

kw_status details_format(struct table *details, kw_error *error, const char *label, const char *format, ...)
{
    char value[2048];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(value, sizeof(value), format, arguments);
    va_end(arguments);
    return details_add(details, label, value, error);
}

/* ---- JSON ---- */

kw_status json_print(json_t *document, kw_error *error)
{
    kw_status status = KW_OK;

    if (document == NULL)
        return problem_memory(error);
    /* A failure to write is told by main, once, with its reason; what else can fail is memory. */
    if (json_dumpf(document, stdout, JSON_INDENT(2)) != 0 && ferror(stdout) == 0)
        status = problem_memory(error);
    fputc('\n', stdout);
    json_decref(document);
    return status;
}

json_t *json_text(const char *text)
{
    return text != NULL ? json_string(text) : json_null();
}

json_t *json_texts(const char *const *texts, size_t count)
{
    json_t *array = json_array();

    for (size_t i = 0; i < count; i++) {
        if (json_array_append_new(array, json_string(texts[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

/* ---- Messages ---- */

/* Without control characters: a message may quote what a file or a certificate holds. Newlines indent. */
static void say(FILE *stream, const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        unsigned char byte = (unsigned char)*at;
        bool c1 = byte == 0xc2 && (unsigned char)at[1] >= 0x80 && (unsigned char)at[1] < 0xa0;
        if (byte == '\n')
            fputs("\n  ", stream);
        else if (byte < 0x20 || byte == 0x7f || c1)
            fputc('?', stream);
        else
            fputc(byte, stream);
        if (c1)
            at++;
    }
}

static void say_tinted(const char *text, enum tint tint)
{
    bool colour = colour_wanted(STDERR_FILENO);

    fprintf(stderr, "%s%s%s", colour ? tint_sequences[tint] : "", text, colour ? TINT_END : "");
}

static void error_json(const kw_error *error)
{
    int exit_status = problem_exit_status(error->status);
    json_t *line = json_pack("{s:{s:s,s:i,s:s,s:i,s:i,s:s,s:s}}", "error", "status", kw_status_text(error->status),
                             "exit_status", exit_status, "where", error->where, "line", (int)error->line, "column",
                             (int)error->column, "message", error->message, "remedy", error->remedy);

    /* A message that is cut within a character is no UTF-8; then the status must do. */
    if (line == NULL)
        line = json_pack("{s:{s:s,s:i}}", "error", "status", kw_status_text(error->status), "exit_status", exit_status);
    if (line != NULL)
        json_dumpf(line, stderr, JSON_COMPACT);
    fputc('\n', stderr);
    json_decref(line);
}

void message_error(const kw_error *error, bool json)
{
    char place[32] = "";

    fflush(stdout); /* what happened before stands before */
    if (json) {
        error_json(error);
        return;
    }
    say_tinted("keywright:", TINT_BAD);
    fputc(' ', stderr);
    if (error->where[0] != '\0') {
        say(stderr, error->where);
        if (error->line > 0)
            snprintf(place, sizeof(place), error->column > 0 ? ":%u:%u" : ":%u", error->line, error->column);
        fprintf(stderr, "%s: ", place);
    }
    say(stderr, error->message[0] != '\0' ? error->message : kw_status_text(error->status));
    fputc('\n', stderr);
    if (error->remedy[0] != '\0') {
        fputs("  ", stderr);
        say(stderr, error->remedy);
        fputc('\n', stderr);
    }
}

void message_warning(const char *sentence)
{
    fflush(stdout);
    fputs("keywright: ", stderr);
    say_tinted("warning:", TINT_WARNING);
    fputc(' ', stderr);
    say(stderr, sentence);
    fputc('\n', stderr);
}

void message_note(const char *sentence)
{
    fflush(stdout);
    say(stderr, sentence);
    fputc('\n', stderr);
}

void message_result(const char *sentence)
{
    say(stdout, sentence);
    fputc('\n', stdout);
    fflush(stdout); /* it tells of work under way */
}
