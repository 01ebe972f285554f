/* The connections of the configuration, and an SSL_CTX of one for the program itself (S30, S31). */
#include "tls/connection.h"

#include "base/arena.h"
#include "tls/profile.h"

#include <stdlib.h>

struct list {
    kw_connection_list list;
    struct arena arena;
};

static void copy_info(const struct connection_settings *from, struct arena *arena, kw_connection_info *info)
{
    const char **authorities = arena_allocate(arena, (from->authority_count + 1) * sizeof(*authorities));
    for (size_t i = 0; authorities != NULL && i < from->authority_count; i++)
        authorities[i] = arena_text(arena, from->authorities[i]);
    *info = (kw_connection_info){
        .name = arena_text(arena, from->name),
        .protocol = arena_text(arena, from->protocol),
        .host = arena_text(arena, from->host),
        .port = (unsigned)from->port,
        .mode = arena_text(arena, from->mode),
        .authorities = authorities,
        .authority_count = from->authority_count,
        .client_certificate = arena_text(arena, from->client_certificate),
        .client_key = arena_text(arena, from->client_key),
        .timeout_ms = (uint32_t)from->timeout,
    };
}

kw_status connection_list(kw_context *context, kw_connection_list **list, kw_error *error)
{
    const struct settings *settings = context->settings;
    struct list *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return error_memory(error);
    kw_connection_info *rows = arena_allocate(&made->arena, (settings->connection_count + 1) * sizeof(*rows));
    for (size_t i = 0; rows != NULL && i < settings->connection_count; i++)
        copy_info(&settings->connections[i], &made->arena, &rows[i]);
    made->list = (kw_connection_list){.connections = rows, .count = settings->connection_count};
    if (made->arena.failed) {
        kw_connection_list_free(&made->list);
        return error_memory(error);
    }
    *list = &made->list;
    return KW_OK;
}

void kw_connection_list_free(kw_connection_list *list)
{
    struct list *made = (struct list *)list;
    if (made == NULL)
        return;
    arena_free(&made->arena);
    free(made);
}

kw_status connection_tls(kw_context *context, const char *name, struct ssl_ctx_st **tls, kw_error *error)
{
    struct profile profile;
    kw_status status = profile_find(context, name, &profile, error);
    if (status != KW_OK)
        return status;
    if (profile.mode == CONNECTION_DISABLE) {
        error_set(error, KW_REFUSED, "the connection '%s' is one without TLS (mode: disable)", name);
        error_remedy(error, "set another mode, such as verify-full");
        return KW_REFUSED;
    }
    return profile_context(context, &profile, NULL, tls, error);
}
