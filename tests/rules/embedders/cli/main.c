#include "output.h"
#include <getopt.h>
#include <keywright/keywright.h>
#include "store/key.h"        /* BAD */
#include <keywright/plugin.h> /* BAD */
#include "../core/base/id.h"  /* BAD */
