#!/usr/bin/env python3
"""A server that embeds the library, for those who look at its process from outside.

usage: serve.py LIBRARY CONFIGURATION KEY...   seals under master-key/corp and signs with the KEYs, then forks a child that seals too

Says "ready CHILD" on standard output and waits for a line, ends the child, closes all that is open, says "closed", and waits for another line. What the
library logs goes to standard error.
"""
import ctypes, os, sys  # noqa: E401
from ctypes import POINTER, byref, c_bool, c_char, c_char_p, c_int, c_size_t, c_uint, c_void_p


class Error(ctypes.Structure):
    _fields_ = [("status", c_int), ("line", c_uint), ("column", c_uint), ("where", c_char * 256), ("message", c_char * 768),
                ("remedy", c_char * 512)]


class Input(ctypes.Structure):
    _fields_ = [("data", c_char_p), ("length", c_size_t)]


class Output(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("capacity", c_size_t), ("length", c_size_t)]


Log = ctypes.CFUNCTYPE(None, c_void_p, c_int, c_char_p)


class Options(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("configuration", c_char_p), ("log", Log), ("prompt", c_void_p), ("user", c_void_p),
                ("open_stores", c_bool), ("as_is", c_bool), ("looks", c_bool)]


library = ctypes.CDLL(sys.argv[1])
context = c_void_p()


def call(name, *arguments):
    error = Error()
    if getattr(library, name)(*arguments, byref(error)) != 0:
        sys.exit("%s: %s: %s" % (name, error.where.decode(), error.message.decode()))


def seal(subkey):
    room = ctypes.create_string_buffer(256)
    call("kw_seal", subkey, Input(b"x", 1), Input(None, 0), byref(Output(ctypes.addressof(room), 256, 0)))


def handle(purpose):
    subkey = c_void_p()
    call("kw_subkey_get", context, b"master-key/corp", purpose, Input(None, 0), byref(subkey))
    for _ in range(3):
        seal(subkey)
    return subkey


def sign(address):
    key, room = c_void_p(), ctypes.create_string_buffer(1024)
    call("kw_key_open", context, address, byref(key))
    call("kw_key_sign", key, None, Input(b"x", 1), byref(Output(ctypes.addressof(room), 1024, 0)))
    library.kw_key_free(key)


log = Log(lambda user, level, text: os.write(2, text + b"\n") and None)
options = Options(ctypes.sizeof(Options), os.fsencode(sys.argv[2]), log)
library.kw_subkey_free.argtypes = library.kw_key_free.argtypes = library.kw_close.argtypes = [c_void_p]
ctypes.CDLL(None).prctl(0x59616d61, -1, 0, 0, 0)  # PR_SET_PTRACER: anybody may look
call("kw_open", byref(options), byref(context))
library.kw_subkey_free(handle(b"freed"))
held = handle(b"held")
for key in sys.argv[3:]:
    sign(key.encode())
ends = os.pipe()
child = os.fork()
if child == 0:
    os.close(ends[1])
    library.kw_subkey_free(handle(b"freed"))
    seal(held)
    print("ready", os.getpid(), flush=True)
    os.read(ends[0], 1)
    os._exit(0)
os.close(ends[0])
sys.stdin.readline()
os.close(ends[1])
os.waitpid(child, 0)
library.kw_subkey_free(held)
library.kw_close(context)
print("closed", flush=True)
sys.stdin.readline()
