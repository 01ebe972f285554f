#include "pkcs11.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void status_says_what_the_caller_can_do(void **state)
{
    static const struct {
        CK_RV result;
        kw_status status;
    } rows[] = {
        {CKR_DEVICE_REMOVED, KW_UNAVAILABLE}, {CKR_PIN_LOCKED, KW_SECRET_REFUSED},
        {CKR_HOST_MEMORY, KW_OUT_OF_MEMORY},  {CKR_MECHANISM_INVALID, KW_UNSUPPORTED},
        {CKR_GENERAL_ERROR, KW_FAILED},       {CKR_TOKEN_WRITE_PROTECTED, KW_PERMISSION},
        {CKR_VENDOR_DEFINED | 7, KW_FAILED},  {CKR_ENCRYPTED_DATA_INVALID, KW_CIPHERTEXT_INVALID},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(p11_failure_status(rows[i].result), rows[i].status);
}

static void kinds_do_not_mix(void **state)
{
    (void)state;
    assert_true(p11_failure_is_loss(CKR_SESSION_HANDLE_INVALID) && p11_failure_is_before(CKR_SESSION_HANDLE_INVALID));
    assert_true(p11_failure_is_loss(CKR_DEVICE_REMOVED) && !p11_failure_is_before(CKR_DEVICE_REMOVED));
    assert_true(p11_failure_is_refusal_of_pin(CKR_PIN_INCORRECT) && !p11_failure_is_loss(CKR_PIN_INCORRECT));
    assert_true(p11_failure_is_inability(CKR_FUNCTION_NOT_SUPPORTED) &&
                !p11_failure_is_loss(CKR_FUNCTION_NOT_SUPPORTED));
    assert_false(p11_failure_is_loss(CKR_OK) || p11_failure_is_inability(CKR_OK) || p11_failure_is_loss(0x12345));
}

static void name_of_the_unknown_is_its_number(void **state)
{
    char room[24];
    (void)state;
    assert_string_equal(p11_failure_name(CKR_PIN_LOCKED, room), "CKR_PIN_LOCKED");
    assert_string_equal(p11_failure_name(0x80000123, room), "0x80000123");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_says_what_the_caller_can_do),
        cmocka_unit_test(kinds_do_not_mix),
        cmocka_unit_test(name_of_the_unknown_is_its_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
