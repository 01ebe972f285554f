/* What is checked, and what came of it. */
#include "kit.h"

#include <stdarg.h>
#include <string.h>

const struct requirement_row requirement_table[REQUIREMENTS] = {
    [ABI_DESCRIPTION] = {"abi.description", "kw_plugin_query gives a well-formed description, the same at each call"},
    [ABI_OPTIONS] = {"abi.options", "names, types, bounds and defaults of the options fit one another"},
    [ABI_MANDATORY] = {"abi.mandatory", "no mandatory operation is missing, and what open claims has its operation"},
    [ABI_SHORT_STRUCTS] = {"abi.short-structs", "bytes beyond a struct's size count as zero and are not written"},
    [ABI_SLOTS] = {"abi.slots", "a host that is shorter than the plugin's, or lacks log and report, is no crash"},
    [RULE_1_SPKI] = {"rule-1.spki", "public keys are SubjectPublicKeyInfo of the type and size that was made"},
    [RULE_1_PKCS8] = {"rule-1.pkcs8", "exported keys are PKCS#8, DER, not encrypted, without trailing bytes"},
    [RULE_1_SIGNATURE] = {"rule-1.signature", "signatures have the standard encoding and length"},
    [RULE_2_SIZE] = {"rule-2.size", "no data, or too little room, is KW_BUFFER_TOO_SMALL and the length needed"},
    [RULE_2_NO_BACKEND] = {"rule-2.no-backend", "a question for the length touches no record and asks no secret"},
    [RULE_2_NO_OVERFLOW] = {"rule-2.no-overflow", "nothing is written beyond the capacity of an output"},
    [RULE_2_SECRETS_FREED] = {"rule-2.secrets-freed", "all of the host's secret memory is given back, unharmed"},
    [RULE_3_THREADS] = {"rule-3.threads", "operations from eight threads at once all succeed"},
    [RULE_4_DEADLINE] = {"rule-4.deadline", "a deadline that has passed is KW_TIMEOUT or success; all stays usable"},
    [RULE_5_REPORT] = {"rule-5.report", "an operation that fails says why in one sentence"},
    [RULE_5_NO_SECRET] = {"rule-5.no-secret", "no sentence or log line holds a secret or a line break"},
    [RULE_5_NOTHING_LEFT] = {"rule-5.nothing-left", "what failed leaves nothing that key_find does not find"},
    [RULE_5_HOST_FAILS] = {"rule-5.host-fails", "records that are unavailable are KW_UNAVAILABLE, at each call"},
    [RULE_5_MEMORY_ENDS] = {"rule-5.memory-ends", "secret memory that ends is KW_OUT_OF_MEMORY, at each allocation"},
    [RULE_6_RECOVERY] = {"rule-6.recovery", "after a failure of the host the same instance works again"},
    [RULE_7_FORK] = {"rule-7.fork", "after a fork child and parent sign with the same handle and open keys"},
    [RULE_7_FORK_THREADS] = {"rule-7.fork-threads", "the process forks while threads sign, and each child signs"},
    [RULE_7_FORK_RANDOM] = {"rule-7.fork-random", "parent and child use other random bytes and nonces"},
    [RULE_8_SILENT] = {"rule-8.silent", "nothing is printed"},
    [RULE_8_NO_LOCK] = {"rule-8.no-lock", "other operations go on while a secret is being asked for"},
    [OPEN_OK] = {"open.ok", "an instance opens with its options"},
    [OPEN_CAPABILITIES] = {"open.capabilities", "what an instance can do is consistent"},
    [OPEN_WRONG_SECRET] = {"open.wrong-secret",
                           "a wrong secret is KW_SECRET_REFUSED, told to the host, asked for once"},
    [OPEN_NO_SECRET] = {"open.no-secret", "a host that has no secret is answered with the host's own status"},
    [OPEN_AGAIN] = {"open.again", "keys persist when the instance is closed and opened again"},
    [OPEN_TWICE] = {"open.twice", "two instances on the same records see each other's keys"},
    [HEALTH_OK] = {"health.ok", "health of an open instance is KW_OK"},
    [RANDOM_FILLS] = {"random.fills", "random fills the output, differently each time"},
    [SET_SECRET_CHANGES] = {"set-secret.changes", "after set_secret the new secret opens and the old is refused"},
    [SET_SECRET_OTHERS] = {"set-secret.others", "instances that are open go on after set_secret"},
    [SET_SECRET_ALL_OR_NOTHING] = {"set-secret.all-or-nothing", "when set_secret fails the old secret is in force"},
    [GENERATE_EACH] = {"generate.each", "every key type and size that is claimed is made"},
    [GENERATE_EXISTS] = {"generate.exists", "a second key with the same id is KW_EXISTS"},
    [GENERATE_UNSUPPORTED] = {"generate.unsupported", "a type or size that is not claimed is KW_UNSUPPORTED"},
    [GENERATE_LOCATOR] = {"generate.locator", "no key is made when there is no room for a locator"},
    [IMPORT_EACH] = {"import.each", "every key type and size that is claimed is taken as PKCS#8, and is the same key"},
    [IMPORT_MALFORMED] = {"import.malformed", "PKCS#8 that is malformed, cut or inconsistent is KW_INVALID_ARGUMENT"},
    [IMPORT_MISMATCH] = {"import.mismatch", "a key that is not of the type said is KW_INVALID_ARGUMENT"},
    [EXPORT_SAME] = {"export.same", "what is exported is the private key of the public key"},
    [EXPORT_REFUSED] = {"export.refused", "a key made not to be exported, which says so, is KW_REFUSED"},
    [DELETE_GONE] = {"delete.gone", "a deleted key can neither be opened nor found: KW_NOT_FOUND"},
    [DELETE_UNKNOWN] = {"delete.unknown", "deleting what is not there is KW_NOT_FOUND"},
    [LIST_COMPLETE] = {"list.complete", "the list has every key, each once, and ends with KW_NOT_FOUND"},
    [FIND_ID] = {"find.id", "a key is found by its id, and by no other"},
    [KEY_CAPABILITIES] = {"key.capabilities", "what a key can do fits its type and its template"},
    [KEY_OPEN_MALFORMED] = {"key.open-malformed", "what is no locator is KW_INVALID_ARGUMENT or KW_NOT_FOUND"},
    [KEY_DAMAGED] = {"damage.key", "a key's record that is changed anywhere is KW_CORRUPT; the others work"},
    [STORE_DAMAGED] = {"damage.store", "a store's record that is changed anywhere is KW_CORRUPT, not a wrong secret"},
    [SIGN_PKCS1] = {"sign.pkcs1", "PKCS#1 v1.5 signatures with each hash verify"},
    [SIGN_PSS] = {"sign.pss", "PSS signatures with each hash and salt length verify"},
    [SIGN_ECDSA] = {"sign.ecdsa", "ECDSA signatures with each hash verify"},
    [SIGN_EDDSA] = {"sign.eddsa", "EdDSA signatures verify, also over nothing"},
    [SIGN_MESSAGE] = {"sign.message", "signatures over a message verify, where the plugin takes one"},
    [SIGN_RAW] = {"sign.raw", "raw RSA is undone by the public key; a block of another length is refused"},
    [SIGN_UNSUPPORTED] = {"sign.unsupported", "schemes and hashes that are unknown or not this key's: KW_UNSUPPORTED"},
    [SIGN_DIGEST_LENGTH] = {"sign.digest-length", "a digest of the wrong length is KW_INVALID_ARGUMENT"},
    [DECRYPT_OAEP] = {"decrypt.oaep",
                      "OAEP with each hash and MGF1 hash gives the plaintext, also none and the longest"},
    [DECRYPT_LABEL] = {"decrypt.label", "OAEP labels work, and another label is KW_CIPHERTEXT_INVALID"},
    [DECRYPT_INVALID] = {"decrypt.invalid", "every ciphertext that is wrong gets the same answer"},
    [DECRYPT_RAW] = {"decrypt.raw", "raw RSA gives the block"},
    [DECRYPT_NOT_PKCS1] = {"decrypt.not-pkcs1", "PKCS#1 v1.5 is no decryption scheme: KW_UNSUPPORTED"},
    [DERIVE_AGREES] = {"derive.agrees", "the shared secret is the one that libcrypto derives"},
    [DERIVE_INVALID] = {"derive.invalid", "peers on another curve, malformed or degenerate are KW_INVALID_ARGUMENT"},
    [CERTIFICATE_KEPT] = {"certificate.kept", "a certificate is kept, replaced and deleted"},
};

static struct {
    unsigned checks;
    unsigned failures;
    bool skipped;
    char first[512];
} results[REQUIREMENTS];
static pthread_mutex_t results_mutex = PTHREAD_MUTEX_INITIALIZER;

bool require(enum requirement requirement, bool holds, const char *format, ...)
{
    pthread_mutex_lock(&results_mutex);
    results[requirement].checks++;
    if (!holds && results[requirement].failures++ == 0) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(results[requirement].first, sizeof(results[requirement].first), format, arguments);
        va_end(arguments);
    }
    pthread_mutex_unlock(&results_mutex);
    return holds;
}

bool requirement_skip(const char *id)
{
    for (size_t i = 0; i < REQUIREMENTS; i++)
        if (strcmp(requirement_table[i].id, id) == 0) {
            results[i].skipped = true;
            return true;
        }
    return false;
}

bool requirement_skipped(enum requirement requirement)
{
    return results[requirement].skipped;
}

enum verdict requirement_verdict(enum requirement requirement)
{
    if (results[requirement].skipped)
        return VERDICT_SKIPPED;
    if (results[requirement].checks == 0)
        return VERDICT_NOT_CHECKED;
    return results[requirement].failures == 0 ? VERDICT_PASSED : VERDICT_FAILED;
}

const char *requirement_failure(enum requirement requirement, unsigned *checks)
{
    *checks = results[requirement].checks;
    return results[requirement].failures == 0 ? NULL : results[requirement].first;
}

bool signatures_hold(void)
{
    static const enum requirement needed[] = {RULE_1_SIGNATURE, SIGN_PKCS1, SIGN_PSS, SIGN_ECDSA, SIGN_EDDSA};
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
        if (requirement_verdict(needed[i]) == VERDICT_FAILED)
            return false;
    return true;
}

const char *status_name(kw_status status)
{
    static const char *const names[] = {
        [KW_OK] = "KW_OK",
        [KW_BUFFER_TOO_SMALL] = "KW_BUFFER_TOO_SMALL",
        [KW_INVALID_ARGUMENT] = "KW_INVALID_ARGUMENT",
        [KW_UNSUPPORTED] = "KW_UNSUPPORTED",
        [KW_NOT_FOUND] = "KW_NOT_FOUND",
        [KW_EXISTS] = "KW_EXISTS",
        [KW_REFUSED] = "KW_REFUSED",
        [KW_CONFLICT] = "KW_CONFLICT",
        [KW_UNAVAILABLE] = "KW_UNAVAILABLE",
        [KW_TIMEOUT] = "KW_TIMEOUT",
        [KW_CONFIGURATION] = "KW_CONFIGURATION",
        [KW_SECRET_REFUSED] = "KW_SECRET_REFUSED",
        [KW_PERMISSION] = "KW_PERMISSION",
        [KW_CORRUPT] = "KW_CORRUPT",
        [KW_SIGNATURE_INVALID] = "KW_SIGNATURE_INVALID",
        [KW_CIPHERTEXT_INVALID] = "KW_CIPHERTEXT_INVALID",
        [KW_OUT_OF_MEMORY] = "KW_OUT_OF_MEMORY",
        [KW_FAILED] = "KW_FAILED",
    };
    return (unsigned)status < sizeof(names) / sizeof(names[0]) ? names[status] : "a status that plugin.h does not know";
}
