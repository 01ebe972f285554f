#include "scene.h"

#include "certificate/hosts.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_address(const char *host)
{
    unsigned char bytes[16];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

static bool listed(char **hosts, size_t count, const char *host)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(hosts[i], host) == 0)
            return true;
    return false;
}

/* `hostname -I` tells all addresses but loopback and IPv6 link-local ones. */
static void hosts_of_this_machine_are_those_that_hostname_tells(void **state)
{
    struct scene scene;
    char **hosts = NULL, name[256] = "";
    size_t count = 0, addresses = 0, told = 0;
    kw_bytes output = {0};
    (void)state;
    scene_open(&scene);
    assert_ok(&scene, hosts_of_this_machine(false, &hosts, &count, &scene.error));
    assert_true(count >= 1);
    assert_int_equal(gethostname(name, sizeof(name) - 1), 0);
    assert_int_equal(strcasecmp(hosts[0], name), 0);
    for (size_t i = 0; i < count; i++)
        addresses += is_address(hosts[i]) ? 1 : 0;
    assert_int_equal(scene_run(&scene, "hostname -I", NULL, &output), 0);
    for (char *rest = NULL, *word = strtok_r((char *)output.data, " \n", &rest); word != NULL;
         word = strtok_r(NULL, " \n", &rest)) {
        if (strncmp(word, "169.254.", 8) == 0)
            continue;
        told++;
        if (!listed(hosts, count, word))
            fail_msg("%s is not in the list", word);
    }
    assert_int_equal(addresses, told);
    kw_bytes_free(&output);
    hosts_free(hosts, count);
    scene_close(&scene);
}

static void hosts_of_this_machine_local_has_loopback_too(void **state)
{
    char **hosts = NULL, **local = NULL;
    size_t count = 0, local_count = 0;
    (void)state;
    assert_int_equal(hosts_of_this_machine(false, &hosts, &count, NULL), KW_OK);
    assert_int_equal(hosts_of_this_machine(true, &local, &local_count, NULL), KW_OK);
    assert_false(listed(hosts, count, "127.0.0.1"));
    assert_true(listed(local, local_count, "127.0.0.1"));
    for (size_t i = 0; i < count; i++)
        assert_true(listed(local, local_count, hosts[i]));
    hosts_free(hosts, count);
    hosts_free(local, local_count);
}

static void hosts_of_this_machine_are_sorted_and_unique(void **state)
{
    char **hosts = NULL;
    size_t count = 0;
    (void)state;
    assert_int_equal(hosts_of_this_machine(true, &hosts, &count, NULL), KW_OK);
    for (size_t i = 1; i < count; i++) {
        unsigned char left[16] = {0}, right[16] = {0};
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(hosts[i], hosts[j]);
        if (is_address(hosts[i - 1]))
            assert_true(is_address(hosts[i]));
        if (inet_pton(AF_INET, hosts[i - 1], left) == 1 && inet_pton(AF_INET, hosts[i], right) == 1)
            assert_true(memcmp(left, right, 4) < 0);
        if (inet_pton(AF_INET6, hosts[i - 1], left) == 1)
            assert_true(inet_pton(AF_INET6, hosts[i], right) == 1 && memcmp(left, right, 16) < 0);
    }
    hosts_free(hosts, count);
}

static void host_check_name_accepts_what_may_be_a_dnsname(void **state)
{
    static const char *const good[] = {"a",       "www.example",  "*.example", "xn--bro-hoa.example",
                                       "my_host", "3com.example", "A-1.b",     "7z"};
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_int_equal(host_check_name(good[i], NULL), KW_OK);
}

static void host_check_name_refuses_the_rest(void **state)
{
    static const char *const bad[] = {"",  ".",     "a.",   ".a", "a..b", "-a",      "a-",       "a b",   "a/b",
                                      "*", "a.*.b", "*a.b", "*.", "a\nb", "1.2.3.4", "host:443", "[::1]", "ä"};
    char long_name[300] = "";
    kw_error error = {0};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (host_check_name(bad[i], &error) != KW_INVALID_ARGUMENT)
            fail_msg("'%s' is accepted", bad[i]);
    for (size_t i = 0; i + 2 < sizeof(long_name); i += 2)
        memcpy(long_name + i, "a.", 3);
    assert_int_equal(host_check_name(long_name, &error), KW_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "it may have 253"));
    assert_int_equal(host_check_name("b\xc3\xbcro.example", &error), KW_INVALID_ARGUMENT);
    assert_non_null(strstr(error.remedy, "xn--"));
}

static void host_address_text_is_canonical(void **state)
{
    static const unsigned char six[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
    char text[HOST_ADDRESS_SIZE];
    (void)state;
    assert_true(host_address_text((kw_input){six, 16}, text));
    assert_string_equal(text, "2001:db8::1");
    assert_true(host_address_text((kw_input){(const unsigned char *)"\xc0\x00\x02\x01", 4}, text));
    assert_string_equal(text, "192.0.2.1");
    assert_false(host_address_text((kw_input){six, 8}, text));
    assert_false(host_address_text((kw_input){NULL, 0}, text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_of_this_machine_are_those_that_hostname_tells),
        cmocka_unit_test(hosts_of_this_machine_local_has_loopback_too),
        cmocka_unit_test(hosts_of_this_machine_are_sorted_and_unique),
        cmocka_unit_test(host_check_name_accepts_what_may_be_a_dnsname),
        cmocka_unit_test(host_check_name_refuses_the_rest),
        cmocka_unit_test(host_address_text_is_canonical),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
