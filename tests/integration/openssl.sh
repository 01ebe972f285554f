# openssl.sh: what the tests of the OpenSSL module share, beside lib.sh. OPENSSL_MODULES names the folder that the module is in.
# shellcheck shell=bash disable=SC2034,SC2154 # what is set here is used by the tests, and case_dir is lib.sh's
: "${OPENSSL_MODULES:?names the directory of the module}"
export OPENSSL_MODULES
unset OPENSSL_CONF
load=(-provider keywright -provider default)
# AddressSanitizer's runtime must come first in a program that was built without it; what that program leaks is its own.
foreign() { command "$@"; }
if [[ -n ${KW_PRELOAD:-} ]]; then
    foreign() { LD_PRELOAD=$KW_PRELOAD ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 command "$@"; }
    openssl() { foreign openssl "$@"; }
fi

# take_certificate CERT: its certificate is in certificate.pem, its public key in public.pem.
take_certificate() {
    keywright show "$1" --pem >certificate.pem
    openssl x509 -in certificate.pem -noout -pubkey >public.pem
}

# openssl_conf [LINE...]: further programs activate the module by their openssl.cnf, whose section of it has these lines.
openssl_conf() {
    {
        printf '%s\n' 'openssl_conf = start' '[start]' 'providers = providers' '[providers]' 'default = default_part' \
            'keywright = keywright_part' '[default_part]' 'activate = 1' '[keywright_part]' 'activate = 1' "$@"
    } >"$case_dir/openssl.cnf"
    export OPENSSL_CONF=$case_dir/openssl.cnf
}
