/* What the user is reminded of until it is done: to export a certificate separately (S12). */
#include "certificate/manager.h"

#include "base/buffer.h"
#include "base/clock.h"

#include <stdio.h>

/*
 * A record of the library's own, HMACed like all records. The owner's name can be no store's id, which is hex digits. It is known by the
 * certificate's id: a new certificate asks anew.
 */
#define REMINDER_OWNER     "keywright"
#define REMINDER_TEXT_SIZE 32

static kw_input record_name(const struct id *certificate, char name[sizeof("exported apart/") + ID_TEXT_SIZE])
{
    char id[ID_TEXT_SIZE];
    id_text(certificate, id);
    snprintf(name, sizeof("exported apart/") + ID_TEXT_SIZE, "exported apart/%s", id);
    return input_text(name);
}

bool reminder_is_due(kw_context *context, const struct kind *kind, const struct entry_row *entry,
                     const struct id *certificate)
{
    char name[sizeof("exported apart/") + ID_TEXT_SIZE];
    unsigned char text[REMINDER_TEXT_SIZE];
    kw_output value = {.data = text, .capacity = sizeof(text)};
    if (!kind->exported_apart || entry->state != ENTRY_IN_USE || !id_equal(&entry->certificate, certificate))
        return false;
    /* A record that does not verify proves nothing. */
    return catalogue_record_get(context->catalogue, REMINDER_OWNER, record_name(certificate, name), &value, NULL) !=
           KW_OK;
}

kw_status reminder_done(kw_context *context, const struct kind *kind, const struct id *certificate, kw_error *error)
{
    char name[sizeof("exported apart/") + ID_TEXT_SIZE];
    char text[REMINDER_TEXT_SIZE];
    if (!kind->exported_apart)
        return KW_OK;
    clock_text(clock_wall(), text);
    return catalogue_record_put(context->catalogue, REMINDER_OWNER, record_name(certificate, name), input_text(text),
                                error);
}
