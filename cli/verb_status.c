#include "verb.h"

#include <string.h>

struct bit {
    uint32_t mask;
    const char *name;
};

static const struct bit operation_bits[] = {
    {KW_CAN_GENERATE, "generate"},
    {KW_CAN_IMPORT, "import"},
    {KW_CAN_EXPORT, "export"},
    {KW_CAN_DELETE, "delete"},
    {KW_CAN_LIST, "list"},
    {KW_CAN_ATTEST, "attest"},
    {KW_CAN_STORE_CERTIFICATES, "store-certificates"},
    {KW_CAN_SET_SECRET, "set-secret"},
    {KW_CAN_RANDOM, "random"},
    {KW_CAN_SIGN, "sign"},
    {KW_CAN_DECRYPT, "decrypt"},
    {KW_CAN_DERIVE, "derive"},
};
static const struct bit feature_bits[] = {
    {KW_FEATURE_HARDWARE, "hardware"},
    {KW_FEATURE_SHARED, "shared"},
    {KW_FEATURE_ALWAYS_AUTHENTICATE, "always-authenticate"},
};
static const struct bit key_type_bits[] = {
    {KW_BIT(KW_KEY_RSA), "rsa"},
    {KW_BIT(KW_KEY_EC), "ec"},
    {KW_BIT(KW_KEY_ED25519), "ed25519"},
    {KW_BIT(KW_KEY_X25519), "x25519"},
};
static const struct bit curve_bits[] = {
    {KW_BIT(KW_CURVE_P256), "p256"},
    {KW_BIT(KW_CURVE_P384), "p384"},
    {KW_BIT(KW_CURVE_P521), "p521"},
};
static const struct bit scheme_bits[] = {
    {KW_BIT(KW_SCHEME_RSA_PKCS1), "rsa-pkcs1"}, {KW_BIT(KW_SCHEME_RSA_PSS), "rsa-pss"},
    {KW_BIT(KW_SCHEME_RSA_OAEP), "rsa-oaep"},   {KW_BIT(KW_SCHEME_RSA_RAW), "rsa-raw"},
    {KW_BIT(KW_SCHEME_ECDSA), "ecdsa"},         {KW_BIT(KW_SCHEME_EDDSA), "eddsa"},
    {KW_BIT(KW_SCHEME_ECDH), "ecdh"},
};
static const struct bit hash_bits[] = {
    {KW_BIT(KW_HASH_SHA1), "sha1"},     {KW_BIT(KW_HASH_SHA224), "sha224"}, {KW_BIT(KW_HASH_SHA256), "sha256"},
    {KW_BIT(KW_HASH_SHA384), "sha384"}, {KW_BIT(KW_HASH_SHA512), "sha512"},
};

#define BITS(table) (table), sizeof(table) / sizeof((table)[0])

static json_t *bits_json(uint32_t set, const struct bit *bits, size_t count)
{
    json_t *array = json_array();

    for (size_t i = 0; i < count; i++) {
        if ((set & bits[i].mask) != 0 && json_array_append_new(array, json_string(bits[i].name)) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

/* "sign, decrypt"; "none" for the empty set. */
static const char *bits_text(char *text, size_t size, uint32_t set, const struct bit *bits, size_t count)
{
    size_t length = 0;

    snprintf(text, size, "none");
    for (size_t i = 0; i < count; i++) {
        if ((set & bits[i].mask) == 0 || length >= size)
            continue;
        int wrote = snprintf(text + length, size - length, "%s%s", length > 0 ? ", " : "", bits[i].name);
        length += wrote > 0 ? (size_t)wrote : 0;
    }
    return text;
}

static json_t *capabilities_json(const kw_capabilities *capabilities)
{
    return json_pack("{s:o,s:o,s:o,s:o,s:[i,i],s:o,s:o,s:o}", "operations",
                     bits_json(capabilities->operations, BITS(operation_bits)), "features",
                     bits_json(capabilities->features, BITS(feature_bits)), "key_types",
                     bits_json(capabilities->key_types, BITS(key_type_bits)), "curves",
                     bits_json(capabilities->curves, BITS(curve_bits)), "rsa_bits", (int)capabilities->rsa_bits_minimum,
                     (int)capabilities->rsa_bits_maximum, "schemes",
                     bits_json(capabilities->schemes, BITS(scheme_bits)), "sign_hashes",
                     bits_json(capabilities->sign_hashes, BITS(hash_bits)), "oaep_hashes",
                     bits_json(capabilities->oaep_hashes, BITS(hash_bits)));
}

static json_t *store_json(const kw_store_info *store)
{
    json_t *operations = json_array();

    for (size_t i = 0; i < store->operation_count; i++) {
        const kw_operation_count *count = &store->operations[i];
        json_array_append_new(operations, json_pack("{s:s,s:I,s:I,s:I,s:I}", "operation", count->operation, "calls",
                                                    (json_int_t)count->calls, "errors", (json_int_t)count->errors,
                                                    "nanoseconds", (json_int_t)count->nanoseconds, "backend_calls",
                                                    (json_int_t)count->backend_calls));
    }
    return json_pack("{s:s,s:s,s:s,s:b,s:o,s:o,s:o,s:I,s:I,s:o,s:o}", "name", store->name, "id", store->id, "plugin",
                     store->plugin, "available", store->available ? 1 : 0, "problem", json_text(store->problem),
                     "remedy", json_text(store->remedy), "outage_since", json_text(store->outage_since_text), "calls",
                     (json_int_t)store->calls, "certificates", (json_int_t)store->certificates, "capabilities",
                     store->available ? capabilities_json(&store->capabilities) : json_null(), "operations",
                     operations);
}

static kw_status print_json(const kw_state *state, kw_error *error)
{
    json_t *stores = json_array();

    for (size_t i = 0; i < state->store_count; i++) {
        if (json_array_append_new(stores, store_json(&state->stores[i])) != 0) {
            json_decref(stores);
            return problem_memory(error);
        }
    }
    return json_print(json_pack("{s:s,s:s,s:s,s:i,s:I,s:I,s:o,s:{s:I,s:I,s:I},s:o,s:o}", "configuration",
                                state->configuration, "state", state->directory, "catalogue", state->catalogue,
                                "schema_version", (int)state->schema_version, "certificates",
                                (json_int_t)state->certificates, "certificates_required",
                                (json_int_t)state->certificates_required, "stores", stores, "subkeys", "hits",
                                (json_int_t)state->subkey_hits, "misses", (json_int_t)state->subkey_misses,
                                "calls_saved", (json_int_t)state->subkey_calls_saved, "misplaced",
                                json_texts(state->misplaced, state->misplaced_count), "reminders",
                                json_texts(state->reminders, state->reminder_count)),
                      error);
}

static kw_status add_store(struct table *details, const kw_store_info *store, kw_error *error)
{
    const kw_capabilities *can = &store->capabilities;
    char text[5][256], rsa[64] = "";
    kw_status status = details_add(details, "Store", store->name, error);

    if (status == KW_OK)
        status = details_format(details, error, "  Plugin", "%s (store id %s)", store->plugin, store->id);
    if (status == KW_OK && store->available)
        status = details_add(details, "  State", "available", error);
    if (status == KW_OK && !store->available)
        status = details_format(details, error, "  State", "NOT AVAILABLE: %s",
                                store->problem != NULL ? store->problem : "it gave no reason");
    if (status == KW_OK && !store->available && store->remedy != NULL)
        status = details_add(details, "  Remedy", store->remedy, error);
    if (status == KW_OK && store->outage_since != 0)
        status = details_format(details, error, "  Outage", "since %s: subkeys in memory serve until outage_limit",
                                store->outage_since_text);
    if (status == KW_OK)
        status =
            details_format(details, error, "  Certificates", "%zu, with former and retired ones", store->certificates);
    if (status == KW_OK)
        status = details_format(details, error, "  Calls", "%llu", (unsigned long long)store->calls);
    if (status == KW_OK && store->available)
        status = details_add(details, "  Operations",
                             bits_text(text[0], sizeof(text[0]), can->operations, BITS(operation_bits)), error);
    if ((can->key_types & KW_BIT(KW_KEY_RSA)) != 0)
        snprintf(rsa, sizeof(rsa), "; RSA of %u to %u bits", can->rsa_bits_minimum, can->rsa_bits_maximum);
    if (status == KW_OK && store->available)
        status = details_format(details, error, "  Keys", "%s%s; curves %s",
                                bits_text(text[0], sizeof(text[0]), can->key_types, BITS(key_type_bits)), rsa,
                                bits_text(text[1], sizeof(text[1]), can->curves, BITS(curve_bits)));
    if (status == KW_OK && store->available)
        status = details_format(details, error, "  Schemes", "%s; hashes %s; OAEP with %s",
                                bits_text(text[2], sizeof(text[2]), can->schemes, BITS(scheme_bits)),
                                bits_text(text[3], sizeof(text[3]), can->sign_hashes, BITS(hash_bits)),
                                bits_text(text[4], sizeof(text[4]), can->oaep_hashes, BITS(hash_bits)));
    return status;
}

static kw_status print_text(const kw_state *state, kw_error *error)
{
    struct table *details = details_new();
    kw_status status = details != NULL ? KW_OK : problem_memory(error);

    if (status == KW_OK)
        status = details_add(details, "Configuration", state->configuration, error);
    if (status == KW_OK)
        status = details_add(details, "State", state->directory, error);
    if (status == KW_OK)
        status = details_format(details, error, "Catalogue", "%s (schema %u)", state->catalogue, state->schema_version);
    if (status == KW_OK)
        status = details_format(details, error, "Certificates", "%zu, of which %zu are required", state->certificates,
                                state->certificates_required);
    if (status == KW_OK && state->subkey_hits + state->subkey_misses > 0)
        status = details_format(details, error, "Subkeys", "%llu hits, %llu misses, %llu calls saved",
                                (unsigned long long)state->subkey_hits, (unsigned long long)state->subkey_misses,
                                (unsigned long long)state->subkey_calls_saved);
    for (size_t i = 0; status == KW_OK && i < state->store_count; i++)
        status = add_store(details, &state->stores[i], error);
    for (size_t i = 0; status == KW_OK && i < state->misplaced_count; i++)
        status = details_add(details, i == 0 ? "Misplaced" : "", state->misplaced[i], error);
    if (status == KW_OK)
        status = table_print(details, error);
    table_free(details);
    return status;
}

static kw_status status_run(struct session *session, kw_error *error)
{
    kw_state *state = NULL;
    kw_status status = session_open(session, error);

    if (status != KW_OK)
        return status;
    status = kw_state_get(session->context, &state, error);
    if (status != KW_OK)
        return status;
    status = session->json ? print_json(state, error) : print_text(state, error);
    for (size_t i = 0; status == KW_OK && i < state->reminder_count; i++)
        session_note(session, "%s", state->reminders[i]);
    kw_state_free(state);
    return status;
}

const struct verb verb_status = {
    .name = "status",
    .synopsis = "",
    .summary = "tells facts: stores, what they can do, counts",
    .description = "Opens every store and tells what there is: stores, whether they are available, what they can\n"
                   "do and how often they were called, certificates, and what is not where the configuration\n"
                   "wants it. A store that is not available is a fact here, not a failure.",
    .looks = true,
    .examples = {"keywright status", "keywright status --json"},
    .run = status_run,
};
