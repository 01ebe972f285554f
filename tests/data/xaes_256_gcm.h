/* XAES-256-GCM, https://c2sp.org/XAES-256-GCM, "Test vectors" and "Accumulated randomized tests" (CC BY 4.0). */
static const struct {
    const char *key, *nonce, *plaintext, *associated; /* the first is hex, the others are text */
    const char *ciphertext;                           /* with the tag; hex */
} xaes_vectors[] = {
    {"0101010101010101010101010101010101010101010101010101010101010101", "ABCDEFGHIJKLMNOPQRSTUVWX", "XAES-256-GCM", "",
     "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
    {"0303030303030303030303030303030303030303030303030303030303030303", "ABCDEFGHIJKLMNOPQRSTUVWX", "XAES-256-GCM",
     "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
};

/* SHAKE-128 of all ciphertexts; SHAKE-128 of nothing gives key, nonce, plaintext and associated data of each. */
static const struct {
    unsigned iterations;
    const char *hash;
} xaes_accumulated[] = {
    {10000, "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"},
    {1000000, "2163ae1445985a30b60585ee67daa55674df06901b890593e824b8a7c885ab15"},
};
