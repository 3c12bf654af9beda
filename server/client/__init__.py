"""A client of the restoration service. It needs `requests` and the standard library only.

The command line and the GIMP plug-in use it. Other programs may copy this folder under any name::

    client = Client.find()
    job = client.submit(Path("photo.png"), Path("mask.png"), network="unet")
    for event in client.events(job["id"]):
        print(event.kind, event.data)
    client.result(job["id"]).save("restored.png")

The client repeats every request that fails for lack of a connection, so a restart of the service
goes unnoticed. Each submission carries a key, so repeating it never creates a second job. Proxy
variables are ignored. The service must prove that it knows the token before the client sends it;
a service at https:// must also show the expected certificate.
"""

from .address import ServiceAddress, connection_file, default_data_dir, fingerprint_of
from .api import Client
from .connection import API_VERSION
from .errors import ClientError, JobFailed, Refused, Unreachable, UntrustedServer
from .messages import Event, Form, Picture, Pixels

__all__ = [
    "API_VERSION",
    "Client",
    "ClientError",
    "Event",
    "Form",
    "JobFailed",
    "Picture",
    "Pixels",
    "Refused",
    "ServiceAddress",
    "Unreachable",
    "UntrustedServer",
    "connection_file",
    "default_data_dir",
    "fingerprint_of",
]
