#include <keywright/keywright.h> /* BAD */
#include "base/secret.h"          /* BAD */
#include <store/key.h>            /* BAD */
#include "../good/good.h"         /* BAD */
#include "good/good.h"            /* BAD */
