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

const char *certificate_misplacement(kw_context *context, const struct entry_row *entry,
                                     const struct certificate_row *row, struct arena *arena)
{
    struct address address;
    const struct kind *kind = NULL;
    const char *chosen = NULL;
    struct derived_locator derived;
    const struct store_settings *here = settings_store_by_id(context->settings, row->store_id);
    if (derivation_of(row, &derived)) {
        chosen = settings_certificate(context->settings, entry->address).store;
        return chosen == NULL ? NULL
                              : arena_format(arena,
                                             "the key of %s is derived, and the configuration wants it in store %s: "
                                             "`keywright rotate %s --new-key --store %s` makes a new one there",
                                             entry->address, chosen, entry->address, chosen);
    }
    if (here == NULL)
        return arena_format(arena, "the key of %s is in a store with id %s that is not configured", entry->address,
                            row->store_id);
    if (address_parse(entry->address, &address, NULL) != KW_OK || kind_of(&address, &kind, NULL) != KW_OK)
        return NULL;
    if (manager_choose_store(context, kind, &address, NULL, (const char *const *)entry->databases,
                             entry->database_count, &chosen, NULL) != KW_OK ||
        strcmp(chosen, here->name) == 0)
        return NULL;
    return arena_format(
        arena,
        "the key of %s is in store %s, and the configuration wants it in %s: `keywright transfer %s --to "
        "%s` moves it",
        entry->address, here->name, chosen, entry->address, chosen);
}

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
        const char *misplaced = info->plugin[0] != '\0' ? certificate_misplacement(context, entry, row, arena) : NULL;
        if (misplaced != NULL)
            add(&findings,
                &(kw_certificate_finding){
                    .word = "misplaced",
                    .sentence = misplaced,
                    .remedy =
                        info->derived_from != NULL
                            ? "if it is to stay, take its 'store:' out of 'certificates:'"
                            : arena_format(arena, "if it is to stay, set 'store: %s' for it under 'certificates:'",
                                           info->store),
                });
    }
    info->findings = findings.list;
}
