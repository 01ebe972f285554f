typedef int (*callback)(void *user);
static int (*function)(int);
int call(int (*function)(int), int value);
#define ROWS {OSSL_FUNC_SIGNATURE_A, (void (*)(void))a}, {OSSL_FUNC_SIGNATURE_B, (void (*)(void))b},
static const OSSL_DISPATCH table[] = {
    {OSSL_FUNC_SIGNATURE_SIGN, (void (*)(void))sign},
    {OSSL_FUNC_SIGNATURE_VERIFY_THAT_HAS_A_LONG_NAME,
     (void (*)(void))verify},
    {1, (void (*)(void))sign}, /* BAD */
};
    x = (int (*)(int))function; /* BAD */
    y = ( void (*)(const char *, size_t) ) lt_dlsym(module, name); /* BAD */
    return (void (*)(void))sign; /* BAD */
    z = sizeof(int (*)(int));
