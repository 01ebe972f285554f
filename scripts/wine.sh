#!/usr/bin/env bash
# wine.sh PROGRAM [ARGUMENT]...: runs a program for Windows on Wine, as CTest does.
#
# In a Windows of its own ($KW_WINE, else build/wine), made when there is none, which sees no display and asks nothing.
set -euo pipefail

[[ $# -gt 0 ]] || {
    echo "usage: scripts/wine.sh PROGRAM [ARGUMENT]..." >&2
    exit 2
}
command -v wine >/dev/null || {
    echo "wine.sh: there is no wine: scripts/install-packages.sh windows" >&2
    exit 1
}
# Debian's /usr/bin/wine looks for the one of 32 bits first, and complains.
wine=(wine)
for found in /usr/lib/wine/wine64 /usr/lib/x86_64-linux-gnu/wine/wine64; do
    if [[ -x $found ]]; then
        wine=("$found")
        break
    fi
done

export WINEPREFIX=${KW_WINE:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/build/wine}
export WINEARCH=win64 WINEDEBUG=${WINEDEBUG:--all} WINEDLLOVERRIDES=${WINEDLLOVERRIDES:-mscoree,mshtml,winemenubuilder.exe=}
unset DISPLAY WAYLAND_DISPLAY

# Of several that come at once one makes it, and the others wait.
if [[ ! -e $WINEPREFIX/ready ]]; then
    mkdir -p "$WINEPREFIX"
    exec 9>"$WINEPREFIX.lock"
    flock 9
    if [[ ! -e $WINEPREFIX/ready ]]; then
        "${wine[@]}" wineboot --init </dev/null >"$WINEPREFIX.log" 2>&1 9>&- || {
            tail -n 20 "$WINEPREFIX.log" >&2
            echo "wine.sh: Wine could not make a Windows in $WINEPREFIX" >&2
            exit 1
        }
        touch "$WINEPREFIX/ready"
    fi
    exec 9>&-
fi
exec "${wine[@]}" "$@"
