/* What is wrong with a certificate, or soon will be, as far as catalogue, settings and clock tell: no store is asked. */
#ifndef KEYWRIGHT_CERTIFICATE_FINDINGS_H
#define KEYWRIGHT_CERTIFICATE_FINDINGS_H

#include "certificate/manager.h"

struct arena;

/*
 * A sentence on a key that is not where the configuration wants new ones, with the command that mends it, as far as the stores that are open
 * tell; or NULL. A key of a former or retired certificate that its store does not give out stays where it is: NULL.
 */
const char *certificate_misplacement(kw_context *context, const struct entry_row *entry,
                                     const struct certificate_row *row, struct arena *arena);

/* Adds the findings to what `info` tells already, the worst first. The certificate may be read bare. `arena` may fail. */
void certificate_findings(kw_context *context, const struct entry_row *entry, const struct certificate_row *row,
                          X509 *certificate, struct arena *arena, kw_certificate_info *info);

#endif
