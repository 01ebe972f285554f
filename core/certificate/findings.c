/* What is wrong with a certificate, or soon will be, as far as catalogue, settings and clock tell: no store is asked. */
#include "certificate/findings.h"

#include "base/arena.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "certificate/derivation.h"
#include "certificate/leaf.h"

#include <string.h>

#define FINDINGS_MAXIMUM 4
#define SECONDS_PER_DAY  86400
#define DATE_LENGTH      10

/* ---- Where the key is ---- */

struct misplacement {
    kw_context *context;
    const struct certificate_row *row;
    const char *address, *name; /* of the entry; of this certificate of it */
    const char *here, *wanted;
    bool required;
};

/* Whether it can go there, as far as stores are open; `known` tells whether that is all. */
static bool may_move(const struct misplacement *key, bool *known)
{
    const kw_capabilities *source = stores_capabilities(key->context->stores, key->here),
                          *target = stores_capabilities(key->context->stores, key->wanted);
    *known = source != NULL && target != NULL;
    return (source == NULL || (source->operations & KW_CAN_EXPORT) != 0) &&
           (target == NULL || (target->operations & KW_CAN_IMPORT) != 0);
}

static bool is_of_a_ca(const struct misplacement *key)
{
    kw_input chain = {key->row->chain.data, key->row->chain.length};
    X509 *certificate = NULL;
    const bool foreign = x509_read(key->context->crypto, &chain, &certificate, NULL) == KW_OK &&
                         !x509_is_self_signed(certificate, false);
    crypto_x509_free(certificate);
    return foreign;
}

static const char *way_to_a_new_key(const struct misplacement *key, struct arena *arena)
{
    return is_of_a_ca(key)
               ? arena_format(arena,
                              "`keywright retire %s` and `keywright create %s --store %s` make a new key there, and "
                              "`keywright request %s` asks the CA for a certificate of it",
                              key->address, key->address, key->wanted, key->address)
               : arena_format(arena, "`keywright rotate %s --new-key --store %s` makes a new key there", key->address,
                              key->wanted);
}

/* NULL: there is none, and the key serves old data where it is. */
static const char *way_of(const struct misplacement *key, struct arena *arena)
{
    bool known = false;
    if (!may_move(key, &known))
        return key->required ? arena_format(arena, "the key itself cannot go from the one to the other; %s",
                                            way_to_a_new_key(key, arena))
                             : NULL;
    const char *const transfer =
        arena_format(arena, "`keywright transfer %s --to %s` moves it", key->name, key->wanted);
    if (known)
        return transfer;
    return key->required ? arena_format(arena, "%s, if store %s gives it out; else %s", transfer, key->here,
                                        way_to_a_new_key(key, arena))
                         : arena_format(arena, "%s, if store %s gives it out", transfer, key->here);
}

const char *certificate_misplacement(kw_context *context, const struct entry_row *entry,
                                     const struct certificate_row *row, struct arena *arena)
{
    struct address address;
    const struct kind *kind = NULL;
    struct derived_locator derived;
    const bool current = id_equal(&entry->certificate, &row->id);
    const struct store_settings *here = settings_store_by_id(context->settings, row->store_id);
    struct misplacement key = {
        .context = context,
        .row = row,
        .address = entry->address,
        .name = current ? entry->address : arena_format(arena, "%s@%u", entry->address, row->number),
        .required = current && entry->state == ENTRY_IN_USE,
    };
    if (derivation_of(row, &derived)) {
        const char *chosen = settings_certificate(context->settings, entry->address).store;
        return chosen == NULL || !key.required
                   ? NULL
                   : arena_format(arena,
                                  "the key of %s is derived, and the configuration wants it in store %s: "
                                  "`keywright rotate %s --new-key --store %s` makes a new one there",
                                  entry->address, chosen, entry->address, chosen);
    }
    if (here == NULL)
        return arena_format(arena, "the key of %s is in a store with id %s that is not configured", key.name,
                            row->store_id);
    if (address_parse(entry->address, &address, NULL) != KW_OK || kind_of(&address, &kind, NULL) != KW_OK)
        return NULL;
    key.here = here->name;
    if (manager_choose_store(context, kind, &address, NULL, (const char *const *)entry->databases,
                             entry->database_count, &key.wanted, NULL) != KW_OK ||
        strcmp(key.wanted, key.here) == 0)
        return NULL;
    const char *const way = way_of(&key, arena);
    return way == NULL ? NULL
                       : arena_format(arena, "the key of %s is in store %s, and the configuration wants it in %s: %s",
                                      key.name, key.here, key.wanted, way);
}

/* ---- What is told of a certificate ---- */

struct findings {
    kw_context *context;
    struct arena *arena;
    kw_certificate_info *info;
    kw_certificate_finding *list;
};

static void add(struct findings *findings, const kw_certificate_finding *finding)
{
    if (findings->list == NULL)
        findings->list = arena_allocate(findings->arena, FINDINGS_MAXIMUM * sizeof(*findings->list));
    if (findings->list != NULL && findings->info->finding_count < FINDINGS_MAXIMUM)
        findings->list[findings->info->finding_count++] = *finding;
}

static void look_at_store(struct findings *findings)
{
    const kw_certificate_info *info = findings->info;
    if (info->plugin[0] != '\0')
        return;
    add(findings, &(kw_certificate_finding){
                      .severe = true,
                      .word = "store unknown",
                      .sentence = arena_format(
                          findings->arena, "its key is in a store with id %s that is not configured: it cannot be used",
                          info->store_id),
                      .remedy = arena_format(findings->arena, "add the store with this id under 'stores:' in %s",
                                             findings->context->settings->path),
                  });
}

static const char *renewal(struct findings *findings)
{
    const kw_certificate_info *info = findings->info;
    return arena_format(findings->arena, "`keywright request %s -o FILE` makes a request for a new one", info->address);
}

static void look_at_validity(struct findings *findings, int64_t now)
{
    const kw_certificate_info *info = findings->info;
    kw_certificate_finding finding = {.severe = true};
    if (!info->expiry_checked)
        return;
    if (info->not_after < now) {
        finding.word = "expired";
        finding.sentence = arena_format(findings->arena, "it expired on %.*s (UTC)", DATE_LENGTH, info->not_after_text);
        finding.remedy = renewal(findings);
    } else if (info->not_before > now) {
        finding.word = "not yet valid";
        finding.sentence =
            arena_format(findings->arena, "it is not valid before %.*s (UTC)", DATE_LENGTH, info->not_before_text);
        finding.remedy = "see whether this machine's clock is right";
    } else if (info->not_after - now < (int64_t)LEAF_DAYS * SECONDS_PER_DAY) {
        const int64_t days = (info->not_after - now) / SECONDS_PER_DAY;
        finding.severe = false;
        finding.word = "expires soon";
        finding.sentence = arena_format(findings->arena, "it expires in %lld day%s, on %.*s (UTC)", (long long)days,
                                        days == 1 ? "" : "s", DATE_LENGTH, info->not_after_text);
        finding.remedy = renewal(findings);
    }
    if (finding.word != NULL)
        add(findings, &finding);
}

static void look_at_hosts(struct findings *findings, const struct kind *kind, X509 *certificate)
{
    const kw_certificate_info *info = findings->info;
    struct buffer missing = {0};
    size_t count = 0;
    if (!kind->has_san)
        return;
    const struct certificate_settings settings = settings_certificate(findings->context->settings, info->address);
    for (size_t i = 0; i < settings.host_count; i++)
        if (!leaf_covers(certificate, settings.hosts[i]))
            buffer_format(&missing, "%s%s", count++ > 0 ? ", " : "", settings.hosts[i]);
    if (count > 0 && !missing.failed)
        add(findings,
            &(kw_certificate_finding){
                .severe = true,
                .word = "host missing",
                .sentence = arena_format(findings->arena, "its SAN lacks %.*s, which 'hosts:' names (%s:%u)",
                                         (int)missing.length, (const char *)missing.data,
                                         findings->context->settings->path, settings.hosts_place.line),
                .remedy = info->self_signed
                              ? arena_format(findings->arena,
                                             "`keywright delete %s --force` and `keywright %s%s` make a new one",
                                             info->address, kind->automatic ? "apply" : "create ",
                                             kind->automatic ? "" : info->address)
                              : "have its CA issue one for all of them",
            });
    findings->arena->failed = findings->arena->failed || missing.failed;
    buffer_free(&missing);
}

void certificate_findings(kw_context *context, const struct entry_row *entry, const struct certificate_row *row,
                          X509 *certificate, struct arena *arena, kw_certificate_info *info)
{
    struct findings findings = {.context = context, .arena = arena, .info = info};
    struct address address;
    const struct kind *kind = NULL;
    info->finding_count = 0;
    look_at_store(&findings);
    /* What is kept for old data alone serves whatever its date and names. */
    if (info->required && address_parse(entry->address, &address, NULL) == KW_OK &&
        kind_of(&address, &kind, NULL) == KW_OK) {
        look_at_validity(&findings, clock_wall());
        look_at_hosts(&findings, kind, certificate);
    }
    const char *const misplaced = info->plugin[0] != '\0' ? certificate_misplacement(context, entry, row, arena) : NULL;
    if (misplaced != NULL)
        add(&findings,
            &(kw_certificate_finding){
                .word = "misplaced",
                .sentence = misplaced,
                .remedy = info->derived_from != NULL ? "if it is to stay, take its 'store:' out of 'certificates:'"
                          : info->required
                              ? arena_format(arena, "if it is to stay, set 'store: %s' for it under 'certificates:'",
                                             info->store)
                              : "it may stay as long as that store does: only old data needs it",
            });
    info->findings = findings.list;
}
