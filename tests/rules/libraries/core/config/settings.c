#include "config/yaml.h"
#include <jansson.h>
#include <yaml.h> /* BAD */
