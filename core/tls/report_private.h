/* Between report.c, which judges and describes, and report_text.c, which finds the words. */
#ifndef KEYWRIGHT_TLS_REPORT_PRIVATE_H
#define KEYWRIGHT_TLS_REPORT_PRIVATE_H

#include "base/arena.h"
#include "tls/report.h"

/* Fills headline, lines and text of a report that is otherwise complete. A failed arena says that memory ran out. */
void report_write(kw_trust_report *report, struct arena *arena);

#endif
