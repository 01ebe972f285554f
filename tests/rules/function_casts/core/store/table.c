    {OSSL_FUNC_SIGNATURE_SIGN, (void (*)(void))sign}, /* BAD */
