#!/usr/bin/env python3
"""Looks for secrets where they must not be.

usage: look.py SECRETS memory PID      in all that the process can read of itself
       look.py SECRETS files FILE...   in files, also /proc/PID/environ and the like
SECRETS has a line for each: its name, and its bytes in hexadecimal. Each is looked for as it is, in hexadecimal and in base64. Prints the name of each that is
there and where.
"""
import base64, re, sys  # noqa: E401


def forms(secret):
    # As base64 it looks in three ways, by where in a group of three bytes it begins; the groups at its ends depend on its neighbours.
    coded = [base64.b64encode(bytes(lead) + secret)[4:-4] for lead in range(3)]
    return [secret, secret.hex().encode(), secret.hex().upper().encode()] + coded


def memory(pid):
    with open("/proc/%s/maps" % pid) as maps, open("/proc/%s/mem" % pid, "rb", 0) as mem:
        for line in maps:
            start, end, rights = re.match(r"(\w+)-(\w+) (\S+)", line).groups()
            if rights[0] == "r" and "[v" not in line:
                mem.seek(int(start, 16))
                try:
                    yield line.split()[-1], mem.read(int(end, 16) - int(start, 16))
                except OSError:
                    pass


def files(paths):
    for path in paths:
        with open(path, "rb") as file:
            yield path, file.read()


def main(secrets, what, *words):
    with open(secrets) as lines:
        wanted = [(name, forms(bytes.fromhex(text))) for name, text in (line.split() for line in lines)]
    seen = 0
    for where, data in memory(words[0]) if what == "memory" else files(words):
        seen += len(data)
        for name, all_forms in wanted:
            if any(form in data for form in all_forms):
                print(name, where)
    if seen == 0:
        sys.exit("look.py: there was nothing to look at")


main(*sys.argv[1:])
