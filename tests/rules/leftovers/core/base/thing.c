/* TODO: BAD */
static const char *todo = "a word of its own";
int x; // FIXME BAD
mktemp("name.XXXXXX");
