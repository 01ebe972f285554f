#!/usr/bin/env bash
# check-rules.sh [RULE...]: the rules of CONTRIBUTING.md that text alone can show; all of them, or those named.
#
# Each rule is a function rule_NAME below. It looks at the tree in the working directory and prints FILE:LINE: REASON
# for each violation. `tests/rules/NAME/` is a small tree of its own for each rule, in which the lines to be found carry the
# word BAD: before the project is looked at, every rule must find exactly those.
set -euo pipefail
shopt -s inherit_errexit
export LC_ALL=C
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Lowest first. context.c stands above them all.
floors=(base control config catalogue store openssl subkey certificate tls)
length_warning=500
length_maximum=700
own_path=$top

# ---- What the rules look at ----------------------------------------------------------------------------------

# prepare SOURCE TREE: copies the files listed on standard input to TREE/text, and the C code among them to TREE/code with comments blanked
# and strings emptied, line by line the same. Names of included files stay.
prepare() {
    local source=$1 tree=$2
    mkdir -p "$tree/text" "$tree/code"
    tar --create --directory="$source" --files-from=- | tar --extract --directory="$tree/text"
    (cd "$tree/text" && find . -name '*.[ch]' -printf '%P\n' | sort) |
        while read -r file; do
            mkdir -p "$tree/code/$(dirname "$file")"
            printf '%s\t%s\n' "$tree/text/$file" "$tree/code/$file"
        done |
        awk -F '\t' '
            function blank(line,    result, i, c, two) {
                result = ""
                if (!inside && line ~ /^[ \t]*#[ \t]*include/) {
                    sub(/\/[*\/].*$/, "", line)
                    return line
                }
                for (i = 1; i <= length(line); i++) {
                    c = substr(line, i, 1)
                    two = substr(line, i, 2)
                    if (inside) {
                        if (two == "*/") { inside = 0; i++ }
                    } else if (two == "/*") {
                        inside = 1; i++; result = result " "
                    } else if (two == "//") {
                        break
                    } else if (c == "\"" || c == "\047") {
                        result = result c
                        for (i++; i <= length(line) && substr(line, i, 1) != c; i++)
                            if (substr(line, i, 1) == "\\")
                                i++
                        result = result c
                    } else
                        result = result c
                }
                return result
            }
            { inside = 0
              while ((getline line < $1) > 0) print blank(line) > $2
              close($1); close($2) }'
}

# found PATTERN REASON [FILE...]: a line of the C code that matches the extended expression. Files by name from standard input.
found() {
    local pattern=$1 reason=$2
    xargs --no-run-if-empty grep --with-filename --line-number --extended-regexp --regexp="$pattern" -- |
        sed -E "s|^([^:]+:[0-9]+):.*|\1: $reason|" || true
}

# c_code [FOLDER...]: the C files of these folders, of all without any.
c_code() {
    find "${@:-.}" -name '*.[ch]' -printf '%p\n' 2>/dev/null | sed 's|^\./||' | sort || true
}

# includes FOLDER...: FILE LINE KIND NAME OWNER for each #include. KIND is < or "; OWNER is the floor, `keywright` or `core` where the name leads
# there, else -. The floor openssl and libcrypto share a name; with < it is libcrypto's, since the floors are found with " alone.
includes() {
    c_code "$@" | xargs --no-run-if-empty awk -v floors="${floors[*]} keywright core" '
        BEGIN { count = split(floors, name, " "); for (i = 1; i <= count; i++) ours[name[i]] = 1 }
        match($0, /^[ \t]*#[ \t]*include[ \t]*[<"][^>"]*[>"]/) {
            text = substr($0, RSTART, RLENGTH)
            match(text, /[<"]/)
            kind = substr(text, RSTART, 1)
            file = substr(text, RSTART + 1, length(text) - RSTART - 1)
            slash = index(file, "/")
            owner = slash ? substr(file, 1, slash - 1) : "-"
            if (!(owner in ours) || (owner == "openssl" && kind == "<"))
                owner = "-"
            print FILENAME, FNR, kind, file, owner
        }'
}

# ---- The rules -----------------------------------------------------------------------------------------------

# An include goes down a floor or stays on it.
rule_floors() {
    includes core | awk -v floors="${floors[*]}" '
        function bad(reason) { print $1 ":" $2 ": " reason }
        BEGIN { count = split(floors, name, " "); for (i = 1; i <= count; i++) rank[name[i]] = i }
        {
            parts = split($1, part, "/")
            own = parts == 2 ? count + 1 : rank[part[2]]
            directory = $1
            sub(/\/[^\/]*$/, "", directory)
            if (!own) bad("core/" part[2] " is no floor")
            else if ($4 ~ /\.\./ || $5 == "core") bad("an include names its file from the top of core")
            else if ($5 in rank && rank[$5] > own) bad(part[2] " may not include " $5 ", which is above it")
            else if ($3 == "\"" && $5 == "-" && ($4 ~ /\// || system("test -e " directory "/" $4) != 0))
                bad("an include names its floor: " $4)
        }'
}

# A plugin sees plugin.h, its own files and its vendor's library.
rule_plugins() {
    includes plugins | awk '
        $4 != "keywright/plugin.h" && ($5 != "-" || ($3 == "\"" && $4 ~ /\//) || $4 ~ /\.\./) {
            print $1 ":" $2 ": a plugin includes keywright/plugin.h and nothing else of ours"
        }'
}

# The command, the examples and the OpenSSL module are made of the embedding API alone.
rule_embedders() {
    includes cli examples provider | awk '
        $4 != "keywright/keywright.h" && ($5 != "-" || ($3 == "\"" && $4 ~ /\//) || $4 ~ /\.\./) {
            print $1 ":" $2 ": this includes keywright/keywright.h and nothing else of ours"
        }'
}

# Each library has one place.
rule_libraries() {
    includes core cli plugins provider examples | awk '
        BEGIN {
            place["yaml.h"] = "^core/config/yaml\\.c$"
            place["ltdl.h"] = "^core/store/loader\\.c$"
            place["sqlite3.h"] = "^(core/catalogue/|examples/)"
            place["curl/curl.h"] = "^core/certificate/crl\\.c$"
            place["jansson.h"] = "^(core/config/|core/certificate/json\\.h$|cli/|examples/)"
            place["openssl/ssl.h"] = "^(core/tls/|examples/)"
            place["libsmartcols.h"] = "^cli/"
            place["libp11.h"] = "^plugins/pkcs11/module\\.c$"
            place["p11-kit/pkcs11.h"] = "^plugins/pkcs11/"
            place["libsmartcols/libsmartcols.h"] = "^cli/"
        }
        $3 == "<" && ($4 in place) && $1 !~ place[$4] { print $1 ":" $2 ": " $4 " is not for this file" }'
}

# store.c alone calls a plugin.
rule_operations() {
    c_code core | grep -vx 'core/store/store\.c' |
        found 'operations(\.|->)[a-z_]+[[:space:]]*\(|\(\*[^()]*operations(\.|->)[a-z_]+\)[[:space:]]*\(' \
            'core/store/store.c alone calls the operations of a plugin'
}

# Functions that have no safe use here.
rule_calls() {
    c_code | found '(^|[^A-Za-z0-9_>.])(strcpy|strcat|sprintf|vsprintf|gets|system|popen|s?rand|alloca|strtok|tmpnam|mktemp)[[:space:]]*\(' \
        'this function is not used here'
    c_code core plugins cli provider examples | grep -vx 'core/base/buffer\.c' |
        found '(^|[^A-Za-z0-9_>.])(realloc|reallocarray)[[:space:]]*\(' 'core/base/buffer.c alone calls realloc: a secret could stay behind'
}

# A function has the type it is called by. The rows of OpenSSL's dispatch tables cannot do without; libcrypto casts back by the number.
rule_function_casts() {
    c_code core plugins cli provider examples | xargs --no-run-if-empty awk '
        BEGIN {
            cast = "\\([ \t]*[A-Za-z_][A-Za-z0-9_ *]*\\(\\*\\)[ \t]*\\([^()]*\\)[ \t]*\\)[ \t]*[A-Za-z_&(]"
            row = "OSSL_FUNC_[A-Z0-9_]+,[ \t]*\\(void \\(\\*\\)\\(void\\)\\)\\(?[a-z0-9_]+"
        }
        FNR == 1 { before = "" }
        {
            line = $0
            if (FILENAME ~ /^(core\/openssl|provider\/)/) {
                if (match(before, /OSSL_FUNC_[A-Z0-9_]+,[ \t]*$/))
                    line = substr(before, RSTART) line
                gsub(row, "", line)
            }
            if (line ~ cast) print FILENAME ":" FNR ": no cast of a function pointer"
            before = $0
        }'
}

# One label, out, at the end: a goto only goes forward to it.
rule_goto() {
    c_code core plugins cli provider examples | xargs --no-run-if-empty awk '
        FNR == 1 || /^}/ { labels = 0 }
        /(^|[^A-Za-z0-9_])goto[ \t]/ {
            if ($0 !~ /goto[ \t]+out;/) print FILENAME ":" FNR ": goto leads to out alone"
            else if (labels) print FILENAME ":" FNR ": goto goes forward alone"
        }
        /^[ \t]*[A-Za-z_][A-Za-z0-9_]*:([^:]|$)/ && !/^[ \t]*(default|case|public|private|protected):/ && !/\?/ {
            if ($0 !~ /^[ \t]*out:/) print FILENAME ":" FNR ": the one label is out"
            else if (labels++) print FILENAME ":" FNR ": a second label out"
        }'
}

# What a function owns is freed where it says out:, not by an attribute.
rule_cleanup() {
    c_code | found '__attribute__[[:space:]]*\(\([^)]*(__)?cleanup' 'no cleanup attribute: goto out'
}

# Whatever can fail must be looked at.
rule_must_use() {
    c_code core include | grep '\.h$' |
        found '^(KW_API )?kw_status [a-z0-9_]+\(' 'a function that returns kw_status is marked KW_MUST_USE' |
        while IFS=: read -r file line reason; do
            # error_set and its like hand through the status that they are given.
            sed -n "${line}p" "$file" | grep -qE 'kw_status [a-z0-9_]*error[a-z0-9_]*\(' || echo "$file:$line:$reason"
        done
}

# A file is about one noun.
rule_length() {
    c_code | xargs --no-run-if-empty awk -v warning="$length_warning" -v maximum="$length_maximum" '
        function told() {
            if (lines > maximum) print name ":" lines ": more than " maximum " lines: this file has two nouns"
            else if (lines > warning) print "warning: " name " has " lines " lines" > "/dev/stderr"
        }
        FNR == 1 && NR > 1 { told() }
        { name = FILENAME; lines = FNR }
        END { if (NR) told() }'
}

# What is left to do stands in an issue.
rule_leftovers() {
    find . -type f -printf '%P\n' | sort |
        xargs --no-run-if-empty grep --binary-files=without-match --with-filename --line-number --extended-regexp --word-regexp \
            'TO''DO|FIX''ME|X''XX|HA''CK' -- |
        sed -E 's|^([^:]+:[0-9]+):.*|\1: finish it, or file an issue|' || true
}

# Nothing knows the machine that it was written on.
rule_machine_paths() {
    local pattern='(^|[^A-Za-z0-9_.])/(home|root|Users)/[A-Za-z]'
    # The path of this checkout, where it is long enough to mean nothing else.
    [[ $own_path == /*/* ]] && pattern+="|${own_path//./\\.}(/|[^A-Za-z0-9_-]|\$)"
    find . -type f -printf '%P\n' | sort |
        xargs --no-run-if-empty grep --binary-files=without-match --with-filename --line-number --extended-regexp --regexp="$pattern" -- |
        sed -E 's|^([^:]+:[0-9]+):.*|\1: this names a path of one machine|' || true
}

on_text=(leftovers machine_paths)

# ---- Running them --------------------------------------------------------------------------------------------

mapfile -t rules < <(declare -F | sed -n 's/^declare -f rule_//p')

# run RULE TREE
run() {
    local part=code
    [[ " ${on_text[*]} " != *" $1 "* ]] || part=text
    (cd "$2/$part" && "rule_$1") | sort -t : -k 1,1 -k 2,2n
}

# The rule finds every line with BAD in its example, and no other.
proved() {
    local rule=$1 example=$top/tests/rules/$1 tree=$work/example/$1
    if [[ ! -d $example ]]; then
        echo "check-rules.sh: rule $rule has no example in tests/rules" >&2
        return 1
    fi
    mkdir -p "$tree"
    (cd "$example" && find . -type f -printf '%P\n') | prepare "$example" "$tree"
    (cd "$example" && grep --recursive --line-number --word-regexp BAD .) |
        sed -E 's|^\./([^:]+:[0-9]+):.*|\1|' | sort -u >"$tree/expected" || true
    # An example is short, and lies in a checkout of its own.
    length_maximum=20 own_path=/srv/checkouts/keywright run "$rule" "$tree" 2>/dev/null | sed -E 's|^([^:]+:[0-9]+): .*|\1|' | sort -u >"$tree/actual"
    if [[ ! -s $tree/expected ]]; then
        echo "check-rules.sh: the example of rule $rule has no line with BAD" >&2
        return 1
    fi
    if ! diff "$tree/expected" "$tree/actual" >"$tree/difference"; then
        echo "check-rules.sh: rule $rule does not find what tests/rules/$rule says (<: not found, >: found in error)" >&2
        cat "$tree/difference" >&2
        return 1
    fi
}

wanted=("${rules[@]}")
if [[ $# -gt 0 ]]; then
    wanted=("$@")
    for rule in "${wanted[@]}"; do
        [[ " ${rules[*]} " == *" $rule "* ]] || {
            echo "check-rules.sh: there is no rule $rule; there are: ${rules[*]}" >&2
            exit 2
        }
    done
fi

status=0
for rule in "${wanted[@]}"; do
    proved "$rule" || status=1
done
for example in "$top"/tests/rules/*/; do
    name=$(basename "$example")
    [[ " ${rules[*]} " == *" $name "* ]] || {
        echo "check-rules.sh: tests/rules/$name belongs to no rule" >&2
        status=1
    }
done

# What is in the checkout: also what is not committed yet.
files() {
    if git -C "$top" rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git -C "$top" ls-files --cached --others --exclude-standard
    else
        (cd "$top" && find . -path ./build -prune -o -type f -printf '%P\n')
    fi | grep -v '^tests/rules/' | sort | while read -r file; do
        [[ ! -f $top/$file ]] || echo "$file"
    done
}
files | prepare "$top" "$work/project"
violations=0
for rule in "${wanted[@]}"; do
    run "$rule" "$work/project" >"$work/found"
    cat "$work/found"
    violations=$((violations + $(wc -l <"$work/found")))
done
[[ $violations -eq 0 ]] || status=1
echo "${#wanted[@]} rules, each proved on its example; $violations violations"
exit $status
