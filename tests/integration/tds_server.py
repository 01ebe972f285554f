#!/usr/bin/env python3
"""tds_server.py MODE CERTIFICATE KEY: a server of SQL Server's TDS (MS-TDS), as far as a client goes that connects and logs in; for tests.

MODE: on or required (TLS within PRELOGIN packets), none (says that it has no TLS), strict (TDS 8.0: TLS first, ALPN), late (on, and bytes behind the
answer to PRELOGIN that must not be there). FreeTDS' tsql judges whether its framing is that of SQL Server. Prints "ACCEPT 127.0.0.1:PORT".
"""
import socket
import ssl
import struct
import sys
import threading

PRELOGIN, LOGIN, ANSWER, BATCH = 0x12, 0x10, 0x04, 0x01
ENCRYPTION = {"on": 1, "late": 1, "required": 3, "none": 2, "strict": 0}


class Plain:
    def __init__(self, connection):
        self.connection = connection

    def read(self, length):
        data = b""
        while len(data) < length:
            piece = self.connection.recv(length - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def write(self, data):
        self.connection.sendall(data)


def receive(stream):
    """The kind and content of one message, of however many packets."""
    content = b""
    while True:
        kind, status, length = struct.unpack(">BBH4x", stream.read(8))
        content += stream.read(length - 8)
        if status & 1:
            return kind, content


def send(stream, kind, content):
    for at in range(0, len(content), 4088):
        piece = content[at:at + 4088]
        last = at + 4088 >= len(content)
        stream.write(struct.pack(">BBHHBB", kind, 1 if last else 0, len(piece) + 8, 0, at // 4088 + 1 & 255, 0) + piece)


class Tls:
    """TLS over a socket, whose handshake may go in PRELOGIN packets."""

    def __init__(self, connection, context, framed):
        self.plain = Plain(connection)
        self.connection = connection
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.framed = framed
        self.attend(self.tls.do_handshake)
        self.framed = False

    def flush(self):
        data = self.outgoing.read()
        if data and self.framed:
            send(self.plain, PRELOGIN, data)
        elif data:
            self.plain.write(data)

    def attend(self, step, *arguments):
        while True:
            try:
                done = step(*arguments)
                self.flush()
                return done
            except ssl.SSLWantReadError:
                self.flush()
            except ssl.SSLError:
                self.flush()
                raise
            if self.framed:
                self.incoming.write(receive(self.plain)[1])
            else:
                piece = self.connection.recv(4096)
                if not piece:
                    raise EOFError
                self.incoming.write(piece)

    def read(self, length):
        data = b""
        while len(data) < length:
            data += self.attend(self.tls.read, length - len(data))
        return data

    def write(self, data):
        self.attend(self.tls.write, data)


def prelogin_answer(encryption):
    return struct.pack(">BHHBHHB", 0, 11, 6, 1, 17, 1, 0xff) + bytes([16, 0, 0, 0, 0, 0]) + bytes([encryption])


def text(value):
    return bytes([len(value)]) + value.encode("utf-16-le")


def login_answer():
    body = bytes([1]) + struct.pack(">I", 0x74000004) + text("Test") + bytes([16, 0, 0, 0])
    return b"\xad" + struct.pack("<H", len(body)) + body + done()


def done():
    return b"\xfd" + struct.pack("<HHQ", 0, 0, 0)


def serve(connection, mode, context):
    stream = Plain(connection)
    try:
        if mode == "strict":
            stream = Tls(connection, context, False)
        kind, _ = receive(stream)
        if kind != PRELOGIN:
            return
        if mode == "late":  # at once, so that both are there when the client looks
            answer = prelogin_answer(ENCRYPTION[mode])
            stream.write(struct.pack(">BBHHBB", ANSWER, 1, len(answer) + 8, 0, 1, 0) + answer + b"injected")
        else:
            send(stream, ANSWER, prelogin_answer(ENCRYPTION[mode]))
        if mode in ("on", "required"):
            stream = Tls(connection, context, True)
        while True:
            kind, _ = receive(stream)
            send(stream, ANSWER, login_answer() if kind == LOGIN else done())
    except (EOFError, OSError):
        pass
    finally:
        connection.close()


def main():
    mode, certificate, key = sys.argv[1:4]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if mode != "strict":  # as SQL Server's TDS 7.x
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    else:
        context.set_alpn_protocols(["tds/8.0"])
    listener = socket.create_server(("127.0.0.1", 0))
    print("ACCEPT 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        connection.settimeout(10)
        threading.Thread(target=serve, args=(connection, mode, context), daemon=True).start()


main()
