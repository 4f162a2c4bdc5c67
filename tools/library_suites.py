"""The test suites that tools/libraries.py runs, and how each is run."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Suite:
    """How one library's tests are run.

    package: what it is called where packages are published
    tests: files and folders, relative to the sources
    requires: what the tests import beyond REQUIREMENTS
    options: of pytest, or of the module that runs the tests
    plugins: of pytest, beyond those that run the suites; no others are loaded
    unittest: the module that runs the tests, by unittest, instead of pytest
    hide: folders of the sources that the installed package stands for
    paths: folders of the sources that are put on PYTHONPATH
    installed: the tests are in the installed package (--pyargs)
    parts: each file of tests runs in a process of its own
    timeout, limit: seconds, for a test and for all of a process
    """

    package: str
    tests: tuple = ("tests",)
    requires: tuple = ()
    options: tuple = ()
    plugins: tuple = ("pytest_asyncio.plugin",)
    hide: tuple = ()
    paths: tuple = ()
    environment: dict = dataclasses.field(default_factory=dict)
    unittest: str = ""
    installed: bool = False
    parts: bool = False
    timeout: int = 60
    limit: int = 900


REQUIREMENTS = ("pytest", "pytest-asyncio", "pytest-mock", "pytest-timeout",
                "pytest-reportlog", "coverage", "trustme", "hypothesis")

UNKNOWN_MARKS = ("-W", "ignore::pytest.PytestUnknownMarkWarning")
NO_TRIO = ("-k", "not trio and not uvloop")
IPV4 = ("-k", "not trio and not uvloop and not ipv6")

FASTAPI_TESTS = ("inline-snapshot", "dirty-equals", "sqlmodel", "flask",
                 "pyjwt", "pwdlib[argon2]", "a2wsgi", "orjson", "ujson",
                 "strawberry-graphql")
AIOHTTP_TESTS = ("pytest-xdist", "freezegun", "re-assert", "proxy.py",
                 "python-on-whales", "zlib-ng", "isal", "setproctitle",
                 "uvloop")

SUITES = {
    "aiofiles": Suite("aiofiles"),
    "aiostream": Suite("aiostream"),
    "asyncstdlib": Suite("asyncstdlib", ("unittests",)),
    "async-timeout": Suite("async-timeout"),
    "janus": Suite("janus", requires=("janus", "pytest-codspeed")),
    "h11": Suite("h11", ("h11",)),
    "anyio": Suite(
        "anyio", requires=("anyio[trio]", "psutil", "truststore"),
        options=IPV4, plugins=("anyio.pytest_plugin", "pytest_mock")),
    "starlette": Suite(
        "starlette", requires=("starlette[full]",), options=NO_TRIO,
        plugins=("anyio.pytest_plugin", "pytest_mock")),
    "fastapi": Suite(
        "fastapi", requires=("fastapi[all]", *FASTAPI_TESTS),
        options=("--ignore=docs_src",),
        plugins=("anyio.pytest_plugin", "xdist.plugin",
                 "inline_snapshot.pytest_plugin")),
    "httpcore": Suite(
        "httpcore", requires=("httpcore[http2,socks]", "pytest-httpbin"),
        options=(*NO_TRIO, *UNKNOWN_MARKS),
        plugins=("anyio.pytest_plugin", "pytest_httpbin.plugin")),
    "httpx": Suite(
        "httpx", requires=("httpx[http2,socks,brotli,zstd,cli]", "chardet"),
        options=NO_TRIO, plugins=("anyio.pytest_plugin", "pytest_mock")),
    "uvicorn": Suite(
        "uvicorn", requires=("uvicorn[standard]", "a2wsgi"),
        options=("--ignore=tests/benchmarks",),
        plugins=("anyio.pytest_plugin", "pytest_mock")),
    "hypercorn": Suite(
        "hypercorn", requires=("hypercorn", "httpx"),
        options=("--ignore=tests/trio",)),
    "asyncssh": Suite("asyncssh", parts=True, limit=600, plugins=(),
                      requires=("asyncssh", "pyOpenSSL", "bcrypt")),
    "aioquic": Suite("aioquic", plugins=(), hide=("src",)),
    "zeroconf": Suite(
        "zeroconf", hide=("src",), options=("-m", "not codspeed"),
        plugins=("pytest_asyncio.plugin", "pytest_codspeed.plugin"),
        environment={"SKIP_IPV6": "1"}),
    "aiohttp": Suite(
        "aiohttp", hide=("aiohttp",), parts=True, limit=600,
        requires=("aiohttp[speedups]", *AIOHTTP_TESTS),
        options=("-m", "not dev_mode and not autobahn and not internal"),
        plugins=("pytest_mock", "xdist.plugin", "aiohttp.pytest_plugin",
                 "pytest_codspeed.plugin")),
    "websockets": Suite(
        "websockets", paths=("src",), options=("--ignore=tests/trio",),
        requires=("python-socks", "werkzeug"), plugins=()),
    # Wants a redis server on the usual port.
    "redis": Suite(
        "redis", ("tests/test_asyncio",), requires=("redis", "pybreaker"),
        options=("-m", "not redismod and not onlycluster and not "
                 "cp_integration"), limit=1800),
    # As root, for which PostgreSQL does not start: PGHOST, PGPORT and PGUSER
    # in the environment name a server.
    "asyncpg": Suite(
        "asyncpg", hide=("asyncpg",), requires=("asyncpg", "distro"),
        limit=1800, plugins=()),
    "aiosqlite": Suite("aiosqlite", ("aiosqlite/tests/smoke.py",),
                       plugins=()),
    "aiosmtpd": Suite(
        "aiosmtpd", ("aiosmtpd/tests",),
        requires=("aiosmtpd", "setuptools<81"),
        options=("-W", "ignore::UserWarning"),
        plugins=("pytest_asyncio.plugin", "pytest_mock")),
    "aiosmtplib": Suite("aiosmtplib", requires=("aiosmtplib", "aiosmtpd")),
    "tornado": Suite(
        "tornado", (), installed=True, unittest="tornado.test.runtests",
        options=("--verbose",)),
    "aiojobs": Suite(
        "aiojobs", requires=("aiojobs[aiohttp]", "pytest-aiohttp"),
        plugins=("pytest_asyncio.plugin", "pytest_aiohttp.plugin")),
    "asgiref": Suite("asgiref"),
    "quart": Suite("quart", requires=("quart", "python-dotenv")),
    "sanic": Suite(
        "sanic", parts=True, limit=600, options=("--ignore=tests/benchmark",),
        requires=("sanic", "sanic-testing", "bs4", "uvicorn", "docutils"),
        environment={"SANIC_USE_UVLOOP": "no"}),
    "nest-asyncio": Suite("nest_asyncio"),
    # The tests that uvloop's authors run on asyncio's loop, for comparison.
    "uvloop": Suite(
        "uvloop", hide=("uvloop",), plugins=(), options=("-k", "AIO"),
        requires=("uvloop", "psutil", "pyOpenSSL", "aiohttp")),
    "pyzmq": Suite(
        "pyzmq", ("tests/test_asyncio.py", "tests/test_future.py",
                  "tests/test_zmqstream.py", "tests/test_ioloop.py"),
        hide=("zmq",), requires=("pyzmq", "tornado")),
    "pytest-asyncio": Suite(
        "pytest-asyncio", hide=("pytest_asyncio",), plugins=("pytester",),
        environment={"PYTEST_PLUGINS": "pytest_asyncio.plugin"}),
}
