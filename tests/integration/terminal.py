#!/usr/bin/env python3
"""Runs a command on a terminal of its own, answers its questions, and prints what the terminal showed.

terminal.py [--columns N] [--rows N] [--wait TEXT ANSWER]... [--stdin FILE] [--stdout FILE] -- COMMAND...

Each ANSWER is typed, with a return, once the TEXT has appeared behind what was answered before. The exit status is the command's, 128
and the number of the signal that ended it, or 99 when an awaited text did not come within 60 seconds. An ANSWER of ^C, ^D, ^Z is that key.
"""
import argparse
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--columns", type=int, default=80)
    parser.add_argument("--rows", type=int, default=50)
    parser.add_argument("--wait", nargs=2, action="append", default=[])
    parser.add_argument("--stdin", help="standard input is this file instead")
    parser.add_argument("--stdout", help="standard output is this file instead")
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()

    child, terminal = pty.fork()
    if child == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", arguments.rows, arguments.columns, 0, 0))
        if arguments.stdin:
            os.dup2(os.open(arguments.stdin, os.O_RDONLY), 0)
        if arguments.stdout:
            os.dup2(os.open(arguments.stdout, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 1)
        os.environ.pop("COLUMNS", None)
        os.execvp(arguments.command[0], arguments.command)

    keys = {"^C": b"\x03", "^D": b"\x04", "^Z": b"\x1a"}
    shown, answered = b"", 0
    waits = list(arguments.wait)
    deadline = time.monotonic() + 60
    while True:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            print(f"terminal.py: waited in vain for {waits[:1]} in {shown!r}", file=sys.stderr)
            sys.exit(99)
        ready, _, _ = select.select([terminal], [], [], 0.1)
        if ready:
            try:
                data = os.read(terminal, 65536)
            except OSError:
                break
            if not data:
                break
            shown += data
        if waits and waits[0][0].encode() in shown[answered:]:
            answered = len(shown)
            answer = waits.pop(0)[1]
            # The question is shown after the terminal stopped to echo, so the answer may come at once.
            os.write(terminal, keys.get(answer, answer.encode() + b"\n"))
            deadline = time.monotonic() + 60
    _, status = os.waitpid(child, 0)
    sys.stdout.write(shown.decode(errors="replace").replace("\r\n", "\n"))
    sys.stdout.flush()
    if waits:
        print(f"terminal.py: was never asked {waits}", file=sys.stderr)
        sys.exit(99)
    sys.exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))


main()
