#include <keywright/keywright.h>
