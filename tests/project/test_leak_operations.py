"""Each public method and function has an operation in tests/leaks."""

import ast

from ouro import _ouro

# Called by transports, which the operations use.
PROTOCOLS = {"StreamReaderProtocol", "SubprocessStreamProtocol",
             "SSLProtocol", "FlowControlMixin"}
# Classes whose instances come from functions that have operations.
MADE = {"FlowControlMixin", "Loop", "Server", "StreamReaderProtocol",
        "StreamWriter", "TransportSocket", "Process", "SSLProtocol",
        "SubprocessStreamProtocol", "LoopRunner"}
EXCUSED = {
    # nothing is made there
    "Handle.get_context", "TimerHandle.get_context", "Task.get_context",
    "eager_task_factory", "create_eager_task_factory",
    "StreamReader.set_transport", "Loop.default_exception_handler",
    "Loop.set_default_executor",
    # they need certificates, or processes: tests/net has them
    "Loop.start_tls", "StreamWriter.start_tls", "Process.send_signal",
    "Process.terminate", "Loop.subprocess_exec", "Loop.subprocess_shell",
    "create_subprocess_shell",
    # functions of the socket itself, passed on
    "TransportSocket.getsockbyname", "TransportSocket.setsockopt",
    "TransportSocket.settimeout",
}


def mentioned(top):
    names = set()
    for file in (top / "tests" / "leaks").glob("ops_*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names.add(getattr(node, "attr", None))
            names.add(getattr(node, "id", None))
    return names


def methods():
    for name, value in vars(_ouro).items():
        if name.startswith("_") or not callable(value):
            continue
        if name not in MADE:
            yield name
        if isinstance(value, type) and name not in PROTOCOLS:
            yield from (f"{name}.{member}" for member in dir(value)
                        if not member.startswith("_")
                        and callable(getattr(value, member)))


def test_each_has_an_operation(top):
    names = mentioned(top)
    missing = {name for name in methods()
               if name.rpartition(".")[2] not in names}
    assert sorted(missing - EXCUSED) == []
