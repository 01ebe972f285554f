#!/usr/bin/env bash
# test.sh [--full] [STEP...]: everything that a change must pass; --full runs it all without sampling, and steps that take long besides. With
# STEPs, these and what they need. --list names them.
#
# Installs what it needs (install-packages.sh test). What a step says is in build/test-logs/STEP.log; the end of it is
# shown when it fails. Steps that need one core run beside each other. Exit status 0 when every step has passed.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/.."
logs=build/test-logs
cores=$(nproc)
umask 022
export LC_ALL=C.UTF-8

# name | cores | needs | what it is. In this order, as far as needs and cores allow.
steps='
rules          | 1 |               | the rules of CONTRIBUTING.md, each proved on an example
scripts        | 1 |               | shellcheck
format         | 1 |               | clang-format
headers        | 1 |               | every header compiles alone; the public ones also as C++17
build-dev      | A |               | gcc, debug
build-clang    | A |               | clang, debug
quickstart     | A |               | the first command of the README, also with a token; it builds what is installed
build-release  | A |               | gcc, optimised
build-asan     | A |               | AddressSanitizer and UndefinedBehaviorSanitizer
build-tsan     | A |               | ThreadSanitizer
tidy           | 1 | build-clang   | clang-tidy; of the files of tests a third, all with --full
tests-dev      | 1 | build-dev     | all tests; of those of the kit a sample, all with --full
tests-asan     | 1 | build-asan    | tests under AddressSanitizer and UndefinedBehaviorSanitizer, but for the longest, and of those of the command half; all with --full
memcheck       | 1 | build-dev     | of the unit tests half under valgrind, but for the longest; all C tests with --full
tests-tsan     | 1 | build-tsan    | unit tests that start threads under ThreadSanitizer; all C tests with --full
tests-clang    | 1 | build-clang   | of the unit tests a third; all C tests with --full
tests-release  | 1 | build-release | of the unit tests another third; all tests with --full
memcheck-verbs | 1 | build-dev     | the command under valgrind
cppcheck       | 1 |               | cppcheck
install        | 1 | build-release | what is installed, and a program that embeds it
exports        | 1 | build-release | symbols and libraries of what is installed
fuzz           | A |               | each fuzz target on its seeds; for 20 seconds with --full
debian-13      | 1 |               | tests of the OpenSSL module, TLS and tokens in a bare Debian 13, with its OpenSSL 3.5; with --full alone
'
# These run with --full, and when they are asked for by name.
full_alone=' debian-13 '

# ---- The steps -----------------------------------------------------------------------------------------------

tracked() {
    git ls-files --cached --others --exclude-standard -- "$@" | while read -r file; do [[ ! -f $file ]] || echo "$file"; done
}

configure_and_build() {
    cmake --preset "$1" -DBUILD_TESTING=ON
    cmake --build --preset "$1" --parallel "$cores"
}

# Long series run whole in tests-dev alone. Under the other compilers and sanitizers the same tests take samples, each another.
sampled() {
    export KW_TEST_FULL=no KW_TEST_SEED=$((KW_TEST_SEED + $1))
    echo "KW_TEST_SEED=$KW_TEST_SEED"
}

ctest_of() {
    local preset=$1
    shift
    ctest --preset "$preset" --no-tests=error --parallel 1 "$@"
}

do_rules() { scripts/check-rules.sh; }
do_scripts() { tracked '*.sh' .ci/run ':!tests/rules' | xargs shellcheck; }
do_format() { tracked '*.c' '*.h' ':!tests/rules' | xargs clang-format-19 --dry-run -Werror; }
do_headers() { scripts/check-headers.sh; }
do_build-dev() { configure_and_build dev; }
do_build-clang() { configure_and_build clang; }
do_build-release() { configure_and_build release; }
do_build-asan() { configure_and_build asan; }
do_build-tsan() { configure_and_build tsan; }

# Each rule of the conformance kit is broken by itself, for some seconds: of these a sample, by the seed.
kit_sample=10

do_tests-dev() {
    local left_out=''
    if [[ $full == no ]]; then
        left_out=$(ctest --preset dev --show-only --label-regex '^kit$' | sed -n 's/.*: \(conformance_broken_.*\)$/\1/p' |
            awk -v seed="$KW_TEST_SEED" 'BEGIN { srand(seed) } { print rand() "\t" $0 }' | sort | cut -f 2 |
            tail -n "+$((kit_sample + 1))" | paste -s -d '|')
    fi
    ctest_of dev --exclude-regex "^(${left_out:-nothing})$"
}

# Of these most of the time goes to other programs, and to derivations of keys.
asan_long='^(integration_(certificates|damage|decoder|derived|examples|export|formats|keys|licence|openssl_reference|openssl_store|pager|password_hsm|password_server|processes|roots|terminal|trust)|test_move)$'

# every N OFFSET: the choice of every Nth test, by the seed, as ctest takes it.
every() { echo "$(((KW_TEST_SEED + $2) % $1 + 1)),,$1"; }

do_tests-asan() {
    sampled 1
    [[ $full == no ]] || {
        ctest_of asan
        return
    }
    ctest_of asan --exclude-regex "$asan_long" --label-exclude '^integration$'
    ctest_of asan --exclude-regex "$asan_long" --label-regex '^integration$' --tests-information "$(every 2 0)"
}

c_tests='^(unit|conformance|fault)$'

do_tests-tsan() {
    sampled 2
    local which fixed=(setarch "$(uname -m)" --addr-no-randomize)
    which=(--label-regex '^unit$' --label-regex '^threads$')
    [[ $full == no ]] || which=(--label-regex "$c_tests")
    # Older ThreadSanitizers end at once where the kernel randomises addresses more than they know. A container may forbid to change that.
    "${fixed[@]}" true || fixed=()
    "${fixed[@]}" ctest --preset tsan --no-tests=error --parallel 1 "${which[@]}"
}

third_of() { ctest_of "$1" --label-regex '^unit$' --tests-information "$(every 3 "$2")"; }

do_tests-clang() {
    sampled 3
    if [[ $full == yes ]]; then ctest_of clang --label-regex "$c_tests"; else third_of clang 0; fi
}

do_tests-release() {
    sampled 3
    if [[ $full == yes ]]; then ctest_of release; else third_of release 1; fi
}

# "Possibly lost" is what SQLite holds by pointers into the middle of its blocks, in children that end with a catalogue open.
valgrind_options="--quiet --suppressions=$PWD/tests/memcheck.suppressions --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite,indirect --num-callers=30"

# Those take a minute or more each there, most of it in derivations of keys from passwords; AddressSanitizer runs them always.
memcheck_long='^test_(cms|context|create|derivations|forks|journal|key_check|key_fallback|malformed|module_threads|move|openssl_module|pem|pfx_.*|pkcs11_.*|pkey|reload|reload_stores|root|root_guards|root_set|rotate|subkeys|subkey_secrets|tls_client|tls_server|transfer|transfer_killed|transfer_left|use|x509)$'
# And those ten minutes and more; children of test_module_threads lose what other threads of their parent held.
memcheck_longest='^(conformance_.*|test_malformed|test_module_threads|test_move|test_pfx_write|test_pfx_foreign|test_pkcs11_clock|test_pkcs11_crowd|test_pkcs11_faults|test_pkcs11_transfer|test_subkey_secrets|test_transfer_killed)$'

do_memcheck() {
    sampled 4
    local which=(--label-regex '^unit$' --exclude-regex "$memcheck_long" --tests-information "$(every 2 0)") options
    [[ $full == no ]] || which=(--label-regex "$c_tests" --exclude-regex "$memcheck_longest")
    ctest --test-dir build/dev --test-action memcheck --no-tests=error --output-on-failure "${which[@]}" \
        --overwrite MemoryCheckCommand="$(command -v valgrind)" --overwrite MemoryCheckCommandOptions="$valgrind_options"
    [[ $full == yes ]] || return 0
    read -ra options <<<"$valgrind_options"
    valgrind "${options[@]}" build/dev/bin/keywright-conformance --quick build/dev/lib/keywright/keywright-softstore.so \
        passphrase=correct-horse scrypt_log2_n=14
}

do_memcheck-verbs() {
    local options
    read -ra options <<<"$valgrind_options"
    scripts/memcheck-verbs.sh build/dev/bin/keywright valgrind "${options[@]}"
}

do_cppcheck() {
    # Not by the compilation database: cppcheck does not know -iquote. What the tests do is valgrind's to judge.
    mkdir -p build/cppcheck
    cppcheck --std=c11 --language=c -D_GNU_SOURCE -DKW_BUILDING_LIBRARY -D__GNUC__=12 -D__linux__ -I include -I core \
        --cppcheck-build-dir=build/cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability,style \
        --inline-suppr --suppressions-list=tests/cppcheck.suppressions core cli plugins provider examples
}

do_install() { scripts/check-install.sh build/release; }
do_exports() { scripts/check-exports.sh build/release; }
do_quickstart() {
    scripts/quickstart.sh
    scripts/quickstart.sh --hsm
}

do_fuzz() {
    if [[ $full == yes ]]; then scripts/fuzz.sh 20; else scripts/fuzz.sh 0; fi
}

# What depends on the release of OpenSSL, and of the programs that use it. Of the tests of tokens those that ask the token, not the shim before it.
debian_13='^(test_(asymmetric_cipher|generation|key_exchange|keymgmt|pkey|signature)|test_(cause|install|prelude|probe|verdict|tls_.*)|test_(cms|connections|forks|module_threads|openssl_module)|test_(p11_.*|pkcs11|pkcs11_loss)|conformance_pkcs11.*|integration_(openssl_.*|rejection|programs_.*|connections|password_.*|hsm|pin|tokens))$'

do_debian-13() {
    scripts/debian.sh trixie -- scripts/test.sh --run in-debian-13
}

do_in-debian-13() {
    scripts/install-packages.sh tls
    [[ $(openssl version) == 'OpenSSL 3.5.'* ]] || {
        echo "this is not OpenSSL 3.5: $(openssl version)"
        return 1
    }
    export CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache
    configure_and_build dev
    ctest_of dev --tests-regex "$debian_13"
}

do_tidy() {
    jq -r '.[].file' build/clang/compile_commands.json | sort -u |
        awk -v tests="$PWD/tests/" -v full="$full" -v seed="$KW_TEST_SEED" 'full == "yes" || index($0, tests) != 1 || (seed + NR) % 3 == 0' |
        xargs --max-args=4 clang-tidy-19 --quiet -p build/clang
}

# ---- Running them --------------------------------------------------------------------------------------------

full=${KW_TEST_FULL:-no}

# A step is a process of its own, with a limit.
if [[ ${1:-} == --run ]]; then
    "do_$2"
    exit
fi

names=() selected=()
declare -A need weight about state started took process
while IFS='|' read -r name cores_needed needs what; do
    name=${name// /}
    [[ -n $name ]] || continue
    names+=("$name")
    weight[$name]=${cores_needed// /}
    [[ ${weight[$name]} != A ]] || weight[$name]=$cores
    need[$name]=${needs// /}
    about[$name]=${what# }
done <<<"$steps"

usage() {
    echo "usage: scripts/test.sh [--full] [--list | STEP...]" >&2
    exit 2
}

while [[ $# -gt 0 ]]; do
    case $1 in
    --full) full=yes ;;
    --list)
        for name in "${names[@]}"; do printf '%-15s %s\n' "$name" "${about[$name]}"; done
        exit 0
        ;;
    -*) usage ;;
    *)
        [[ -n ${about[$1]:-} ]] || {
            echo "test.sh: there is no step $1; see --list" >&2
            exit 2
        }
        selected+=("$1")
        ;;
    esac
    shift
done
left_out=()
if [[ ${#selected[@]} -eq 0 ]]; then
    for name in "${names[@]}"; do
        if [[ $full == no && $full_alone == *" $name "* ]]; then left_out+=("$name"); else selected+=("$name"); fi
    done
fi
for name in "${selected[@]}"; do
    state[$name]=waiting
    [[ -z ${need[$name]} ]] || state[${need[$name]}]=waiting
done

begin=$SECONDS
scripts/install-packages.sh test
installation=$((SECONDS - begin))
export KW_TEST_FULL=$full KW_TEST_SEED=${KW_TEST_SEED:-$RANDOM}
if command -v ccache >/dev/null; then
    export CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache
fi
export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
# Later libcryptos guard their tables by atomics, which ThreadSanitizer does not see in a library that is not compiled for it.
[[ $(openssl version) == 'OpenSSL 3.0.'* ]] || TSAN_OPTIONS+=:suppressions=$PWD/tests/tsan.suppressions
mkdir -p "$logs"
echo "seed $KW_TEST_SEED (KW_TEST_SEED), $cores cores, installation ${installation} s; logs in $logs"

# Each step is the leader of its own group, so that it ends with all that it started.
set -m
stop() {
    for name in "${!process[@]}"; do kill -TERM -- "-${process[$name]}" 2>/dev/null || true; done
    echo "test.sh: interrupted" >&2
    exit 130
}
trap stop INT TERM

limit=1500
[[ $full == no ]] || limit=4800
free=$cores

# finish NAME STATUS
finish() {
    local name=$1
    took[$name]=$((SECONDS - started[$name]))
    free=$((free + weight[$name]))
    unset "process[$name]"
    if [[ $2 -eq 0 ]]; then
        state[$name]=passed
        printf 'passed  %-15s %4d s\n' "$name" "${took[$name]}"
    else
        state[$name]=failed
        printf 'FAILED  %-15s %4d s  exit status %d; the end of %s:\n' "$name" "${took[$name]}" "$2" "$logs/$name.log"
        tail -n 40 "$logs/$name.log" | sed 's/^/    | /'
    fi
}

# Starts what can start. True while there is something to wait for.
advance() {
    for name in "${names[@]}"; do
        [[ ${state[$name]:-} == waiting ]] || continue
        if [[ -n ${need[$name]} ]]; then
            case ${state[${need[$name]}]} in
            failed | unreached)
                state[$name]=unreached
                printf 'FAILED  %-15s         not run: %s failed\n' "$name" "${need[$name]}"
                continue
                ;;
            passed) ;;
            *) continue ;;
            esac
        fi
        # In order: what comes later does not overtake a step that waits for cores.
        [[ $free -ge ${weight[$name]} ]] || break
        state[$name]=running
        started[$name]=$SECONDS
        free=$((free - weight[$name]))
        KW_TEST_FULL=$full timeout --kill-after=10 "$limit" bash scripts/test.sh --run "$name" >"$logs/$name.log" 2>&1 </dev/null &
        process[$name]=$!
    done
    [[ ${#process[@]} -gt 0 ]]
}

while advance; do
    result=0
    wait -n -p ended || result=$?
    for name in "${!process[@]}"; do
        [[ ${process[$name]} != "$ended" ]] || finish "$name" "$result"
    done
done

passed=0 failed=()
echo
for name in "${names[@]}"; do
    case ${state[$name]:-} in
    passed) passed=$((passed + 1)) ;;
    failed | unreached) failed+=("$name") ;;
    *) continue ;;
    esac
    printf '%-9s %-15s %5s s  %s\n' "${state[$name]}" "$name" "${took[$name]:--}" "${about[$name]}"
done
for name in "${left_out[@]}"; do printf '%-9s %-15s %5s s  %s\n' 'not run' "$name" - "${about[$name]}"; done
seconds=$((SECONDS - begin))
[[ ${#failed[@]} -eq 0 ]] || printf '\nfailed: %s\n' "${failed[*]}"
printf '\n%d min %02d s\n%d passed, %d failed\n' $((seconds / 60)) $((seconds % 60)) "$passed" "${#failed[@]}"
[[ ${#failed[@]} -eq 0 ]]
