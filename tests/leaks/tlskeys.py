"""TLS contexts for both sides, with the key that the tests of net/ use."""

import pathlib
import ssl

PEM = pathlib.Path(__file__).resolve().parent.parent / "net" / "localhost.pem"

SERVER = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
SERVER.load_cert_chain(PEM)
CLIENT = ssl.create_default_context(cafile=PEM)
