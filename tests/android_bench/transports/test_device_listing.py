import pytest

from android_bench.transports.device_listing import parse_listing

TLS = "adb-R5CT123 (2)._adb-tls-connect._tcp"
UDEV = "no permissions (user in plugdev group; are your udev rules wrong?); see [http://a.b/c]"


@pytest.mark.parametrize(
    ("serial", "state", "facts"),
    [
        ("R58M12ABC", "device", "usb:1-4 product:a model:SM_G9 device:b transport_id:1"),
        (TLS, "device", "product:p model:M transport_id:7"),
        (TLS, "offline", "transport_id:7"),
        ("a device offline b", "device", "transport_id:3"),
        ("two  spaces", "unauthorized", "transport_id:2"),
        ("192.168.1.5:5555", "offline", "transport_id:9"),
        ("emulator-5554", "some_new_state", "transport_id:4"),
        ("transport_id:1", "device", "transport_id:4"),
        ("short", "device", ""),
    ],
)
@pytest.mark.parametrize("form", ["{0:22} {1} {2}", "{0}\t{1} {2}"])
def test_a_line_is_read_from_its_end(serial, state, facts, form):
    (found,) = parse_listing(form.format(serial, state, facts) + "\n")
    assert (found.serial, found.state, found.description) == (serial, state, facts)
    assert found.via == "adb-server"


@pytest.mark.parametrize("serial", ["0123456789ABCDEF", TLS])
def test_a_state_of_many_words_is_one_state(serial):
    (found,) = parse_listing(f"{serial:22} {UDEV} usb:3-1 transport_id:2\n")
    assert (found.serial, found.state) == (serial, "no permissions")
    assert found.description == f"{UDEV} usb:3-1 transport_id:2"


def test_a_line_of_one_word_is_not_lost():
    (found,) = parse_listing("lonely\n")
    assert (found.serial, found.state) == ("lonely", "unknown")


def test_every_line_is_a_device_and_nothing_is_none():
    assert parse_listing("") == []
    assert parse_listing("\n\n") == []
    assert [one.serial for one in parse_listing("a device\n\nb device\n")] == ["a", "b"]
