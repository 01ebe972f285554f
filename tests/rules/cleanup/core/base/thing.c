#define AUTO __attribute__((cleanup(thing_free))) /* BAD */
    __attribute__ ((__cleanup__(closep))) int fd; /* BAD */
void thing_cleanup(void) __attribute__((unused));
