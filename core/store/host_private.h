/* What a host is made of: for host.c, and host_secret.c, which hands secrets out. */
#ifndef KEYWRIGHT_STORE_HOST_PRIVATE_H
#define KEYWRIGHT_STORE_HOST_PRIVATE_H

#include "store/host.h"

#include <pthread.h>
#include <stdatomic.h>

/*
 * What became of one secret option. Values are known by their HMAC: under a random key of this process alone, or that of refusal.h for a
 * plugin with KW_TRAIT_LOCKS.
 */
struct memory_of_secret {
    const kw_option *option;
    unsigned char last[SHA256_LENGTH], refused[SHA256_LENGTH];
    bool has_last, has_refused;
    struct id master; /* it is a subkey of this master key, where has_master */
    bool has_master;
};

struct kw_host_context {
    struct builtin_host table;
    struct crypto *crypto;
    struct catalogue *catalogue;
    const struct log *log;
    const struct settings *settings;
    const struct store_settings *store;
    struct source_reader reader;
    const struct secret_service *subkeys; /* NULL: none */
    struct secret key;
    pthread_mutex_t lock; /* guards the secrets below; a leaf, never held across a callback */
    bool has_lock;
    bool locks; /* the plugin has KW_TRAIT_LOCKS: attempts are on record */
    struct memory_of_secret *secrets;
    size_t secret_count;
    atomic_bool hangs; /* some secret has_master */
};

/* host.c: keeps the error as the reason why the plugin cannot go on. */
KW_MUST_USE kw_status service_result(kw_status status, const kw_error *error);

/* host_secret.c */
KW_MUST_USE kw_status service_secret_request(kw_host_context *host, const kw_call *call, const char *option,
                                             kw_output *secret);
void service_secret_refused(kw_host_context *host, const char *option);
void service_secret_settled(kw_host_context *host, const char *option, kw_status answer);

#endif
