#include "tls/bearer.h"

#include "base/buffer.h"
#include "base/clock.h"

#include <openssl/err.h>
#include <stdlib.h>

#define RETRY_MS 1000u /* so often is tried what failed: each handshake would wait for it */

struct bearer {
    kw_context *whole;
    char *address;
    enum identity_use use;
    identity_reader read;
    _Atomic(struct identity *) current;
    _Atomic(struct identity *) former; /* those that a handshake may still be reading */
    atomic_uint readers;               /* handshakes between the look at `current` and their own references */
    atomic_uint_least64_t seen;        /* the generation for which `current` is right */
    atomic_uint_least64_t retry;       /* not before, after a failure; 0: there was none */
};

/* ---- Those that were replaced ---- */

static void identities_free(struct identity *identity)
{
    while (identity != NULL) {
        struct identity *const next = identity->next;
        identity_free(identity);
        identity = next;
    }
}

static void former_push(struct bearer *bearer, struct identity *first)
{
    struct identity *last = first;
    struct identity *present = atomic_load(&bearer->former);
    while (last->next != NULL)
        last = last->next;
    do
        last->next = present;
    while (!atomic_compare_exchange_weak(&bearer->former, &present, first));
}

/*
 * Who comes after an identity was replaced does not find it, so once nobody reads, nobody can have one of these. (In a child that was forked
 * while another thread read, the count never falls to zero: then they stay.)
 */
static void former_sweep(struct bearer *bearer)
{
    if (atomic_load(&bearer->former) == NULL)
        return;
    struct identity *const taken = atomic_exchange(&bearer->former, NULL);
    if (taken == NULL)
        return;
    if (atomic_load(&bearer->readers) == 0)
        identities_free(taken);
    else
        former_push(bearer, taken);
}

/* ---- Renewal ---- */

static void note_failure(struct bearer *bearer, const kw_error *why)
{
    const uint64_t before = atomic_exchange(&bearer->retry, clock_milliseconds() + RETRY_MS);
    if (before == 0)
        log_write(&bearer->whole->log, KW_LOG_WARNING,
                  "%s: what it has become cannot be had, and TLS goes on with the certificate that it had: %s",
                  bearer->address, why->message);
}

/* Two threads may both come here; they find the same, and one of the two finds is kept. */
static void renew(struct bearer *bearer)
{
    const uint64_t generation = control_generation(bearer->whole->control);
    if (generation == atomic_load_explicit(&bearer->seen, memory_order_acquire))
        return;
    const uint64_t retry = atomic_load(&bearer->retry);
    if (retry != 0 && clock_milliseconds() < retry)
        return;
    atomic_fetch_add(&bearer->readers, 1);
    struct identity *present = atomic_load(&bearer->current), *made = NULL;
    const struct id known = present->certificate;
    atomic_fetch_sub(&bearer->readers, 1);
    const struct identity_wanted wanted = {.address = bearer->address, .use = bearer->use, .known = &known};
    kw_error why = {0};
    if (bearer->read(bearer->whole, &wanted, &made, &why) != KW_OK) {
        note_failure(bearer, &why);
        return;
    }
    if (made != NULL)
        former_push(bearer, atomic_exchange(&bearer->current, made));
    atomic_store(&bearer->retry, 0);
    atomic_store_explicit(&bearer->seen, generation, memory_order_release);
}

/* ---- Handshakes ---- */

int bearer_present(SSL *connection, void *user)
{
    struct bearer *bearer = user;
    /* What failed on the way to a newer one is told to the log, and is no failure of this handshake. */
    ERR_set_mark();
    renew(bearer);
    ERR_pop_to_mark();
    crypto_enter();
    atomic_fetch_add(&bearer->readers, 1);
    const struct identity *const identity = atomic_load(&bearer->current);
    SSL_certs_clear(connection);
    const int taken = SSL_use_cert_and_key(connection, identity->leaf, identity->key, identity->chain, 1);
    atomic_fetch_sub(&bearer->readers, 1);
    crypto_leave();
    former_sweep(bearer);
    return taken == 1;
}

/* ---- Life ---- */

void bearer_free(struct bearer *bearer)
{
    if (bearer == NULL)
        return;
    identity_free(atomic_load(&bearer->current));
    identities_free(atomic_load(&bearer->former));
    free(bearer->address);
    free(bearer);
}

kw_status bearer_new(kw_context *context, const char *address, enum identity_use use, identity_reader read,
                     struct bearer **bearer, kw_error *error)
{
    const struct identity_wanted wanted = {.address = address, .use = use};
    struct identity *first = NULL;
    struct bearer *made = calloc(1, sizeof(*made));
    kw_status status = KW_OK;
    if (made == NULL)
        return error_memory(error);
    made->whole = context->whole != NULL ? context->whole : context;
    made->use = use;
    made->read = read;
    made->address = text_copy(address);
    /* Before it is read: a change that comes meanwhile is looked at again. */
    atomic_init(&made->seen, control_generation(context->control));
    atomic_init(&made->retry, 0);
    atomic_init(&made->readers, 0);
    atomic_init(&made->former, NULL);
    status = made->address != NULL ? identity_read(context, &wanted, &first, error) : error_memory(error);
    atomic_init(&made->current, first);
    if (status == KW_OK) {
        *bearer = made;
        made = NULL;
    }
    bearer_free(made);
    return status;
}
