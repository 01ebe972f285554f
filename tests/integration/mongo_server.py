#!/usr/bin/env python3
"""mongo_server.py MODE [CERTIFICATE KEY]: a server of MongoDB's wire protocol that answers hello and ping; for tests.

MODE: plain, or tls (which ends what is no TLS, as a mongod with requireTLS does). Debian has no mongod; its client library pymongo judges the
framing. Prints "ACCEPT 127.0.0.1:PORT".
"""
import socket
import ssl
import struct
import sys
import threading

MESSAGE, QUERY, REPLY = 2013, 2004, 1


def integer(name, value):
    return b"\x10" + name + b"\0" + struct.pack("<i", value)


def answer():
    body = b"\x08ismaster\0\x01" + b"\x08isWritablePrimary\0\x01" + integer(b"maxBsonObjectSize", 16777216)
    body += integer(b"maxMessageSizeBytes", 48000000) + integer(b"maxWriteBatchSize", 1000)
    body += integer(b"minWireVersion", 0) + integer(b"maxWireVersion", 13) + b"\x01ok\0" + struct.pack("<d", 1.0)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def receive(connection, length):
    data = b""
    while len(data) < length:
        piece = connection.recv(length - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def serve(connection, mode, context):
    try:
        connection.settimeout(10)
        if mode == "tls":
            connection = context.wrap_socket(connection, server_side=True)
        while True:
            length, request, response, kind = struct.unpack("<iiii", receive(connection, 16))
            if not 16 <= length <= 48000000 or response not in (0, -1):  # as a mongod without TLS knows that a client wants it
                return
            receive(connection, length - 16)
            if kind == MESSAGE:
                body = struct.pack("<I", 0) + b"\0" + answer()
                reply = MESSAGE
            elif kind == QUERY:
                body = struct.pack("<iqii", 0, 0, 0, 1) + answer()
                reply = REPLY
            else:
                return
            connection.sendall(struct.pack("<iiii", len(body) + 16, 1, request, reply) + body)
    except (EOFError, OSError):
        pass
    finally:
        connection.close()


def main():
    mode = sys.argv[1]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if mode == "tls":
        context.load_cert_chain(sys.argv[2], sys.argv[3])
    listener = socket.create_server(("127.0.0.1", 0))
    print("ACCEPT 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection, mode, context), daemon=True).start()


main()
