"""One virtual phone a session, put right before each test, and both ways to reach it."""

import os
import tempfile
from pathlib import Path

import pytest

from android_bench.errors import VirtualPhoneError
from android_bench.transports import adb_server, adb_shell
from android_bench.virtual_phone import hooks
from android_bench.virtual_phone import phone as virtual


@pytest.fixture(scope="session")
def session_phone():
    """Skips where the machine cannot run one; in CI that is a failure, not a skip."""
    try:
        running = virtual.start()
    except VirtualPhoneError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    with running:
        yield running


@pytest.fixture
def phone(session_phone):
    """The session's phone; afterwards everything a test may have done to it is undone."""
    yield session_phone
    session_phone.request("thaw")
    hooks.set_network(session_phone, up=True)
    hooks.remount_data(session_phone)
    hooks.make_room(session_phone)
    hooks.hang_dumpsys(session_phone, hanging=False)
    hooks.kill_daemon(session_phone)
    session_phone.request("restore")
    hooks.start_daemon(session_phone)


def over_adb_shell(phone):
    return adb_shell.over_socket("virtual", lambda limit_s: phone.dial())


def over_adb_server(phone):
    return adb_server.over_server(phone.serial, phone.environment()["ADB_SERVER_SOCKET"])


@pytest.fixture(params=["adb-shell", "adb-server"])
def transport(request, phone):
    """The phone through each client."""
    make = {"adb-shell": over_adb_shell, "adb-server": over_adb_server}[request.param]
    opened = make(phone)
    opened.wait(30)
    yield opened
    opened.close()


@pytest.fixture
def direct(phone):
    """The phone through adb-shell, where the client does not matter."""
    opened = over_adb_shell(phone)
    opened.wait(30)
    yield opened
    opened.close()


@pytest.fixture
def short_folder():
    """A folder whose path leaves room for a socket's name; pytest's own may not."""
    with tempfile.TemporaryDirectory(prefix="pfd-") as folder:
        yield Path(folder)


@pytest.fixture
def one_line():
    """A check that an error is one clear line of the right class."""

    def check(error, exit_status, *words):
        text = str(error.value)
        assert "\n" not in text
        assert len(text) < 500
        assert error.value.exit_status == exit_status
        missing = [word for word in words if word not in text]
        assert not missing, text

    return check
