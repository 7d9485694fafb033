"""A real SMTP server for tests, in a thread of the test's process, and the certificates it needs.

`answer` of a MailServer may be changed at any time: a function of the recipient that returns the
reply to RCPT; `gate`, a threading.Event: a message's reply waits until it is set.
"""

import asyncio
import email
import email.policy
import os
import ssl
import subprocess
import threading

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

USER, PASSWORD = b"gito", b"mail-secret-31415"


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


class Authority:
    """A certificate authority in a folder of its own; `file` is its certificate."""

    def __init__(self, folder, name):
        self.folder, self.name = str(folder), name
        self.file, self.key = self.path("pem"), self.path("key")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-days", "2", "-subj", "/CN=" + name, "-keyout", self.key, "-out", self.file)

    def path(self, ending):
        return os.path.join(self.folder, "%s.%s" % (self.name, ending))

    def server_context(self, host):
        """An ssl.SSLContext with a certificate for that host name."""
        stem = os.path.join(self.folder, "%s-%s" % (self.name, host))
        with open(stem + ".ext", "w", encoding="ascii") as extensions:
            extensions.write("subjectAltName=DNS:%s\n" % host)
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", "/CN=" + host, "-keyout", stem + ".key", "-out", stem + ".csr")
        openssl("x509", "-req", "-in", stem + ".csr", "-CA", self.file, "-CAkey", self.key,
                "-CAcreateserial", "-days", "2", "-extfile", stem + ".ext", "-out", stem + ".pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(stem + ".pem", stem + ".key")
        return context


class Mail:
    """One accepted message, and how it came."""

    def __init__(self, session, envelope):
        self.tls = session.ssl is not None
        self.user = session.auth_data.login if session.auth_data else None
        self.sender, self.recipients = envelope.mail_from, sorted(envelope.rcpt_tos)
        self.raw = envelope.content
        self.message = email.message_from_bytes(self.raw, policy=email.policy.default)

    @property
    def id(self):
        return self.message["Message-ID"]

    def body(self, kind):
        return self.message.get_body(preferencelist=(kind,)).get_content()


class MailServer:
    def __init__(self, port, **options):
        """Options are those of aiosmtpd's Controller; auth=True asks for USER and PASSWORD."""
        self.mails, self.asked, self.waiting = [], 0, 0
        self.gate = threading.Event()
        self.gate.set()
        self.answer = lambda recipient: "250 OK"
        if options.pop("auth", False):
            options.update(authenticator=self.authenticate, auth_required=True)
        self.controller = Controller(self, hostname="127.0.0.1", port=port, **options)
        self.controller.start()

    @staticmethod
    def authenticate(server, session, envelope, mechanism, data):
        right = isinstance(data, LoginPassword) and (data.login, data.password) == (USER, PASSWORD)
        return AuthResult(success=right, auth_data=data, handled=False)

    async def handle_RCPT(self, server, session, envelope, address, options):
        answer = self.answer(address)
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server, session, envelope):
        self.asked += 1
        self.waiting += 1
        try:
            while not self.gate.is_set():
                await asyncio.sleep(0.02)
        finally:
            self.waiting -= 1
        self.mails.append(Mail(session, envelope))
        return "250 OK"

    def stop(self):
        self.gate.set()
        self.controller.stop()
