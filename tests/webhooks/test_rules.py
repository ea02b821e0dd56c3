"""Where deliveries may go, when they are tried again, and that anybody with the standard's library can check them."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from standardwebhooks import Webhook

from services.webhooks import addresses, rules
from services.webhooks.contract import AddressRefused
from services.webhooks.rules import Verdict

SECRET = "whsec_" + "A" * 43 + "="


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "192.0.0.192",
        "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "203.0.113.7", "::1", "::", "::ffff:10.0.0.1",
        "64:ff9b::a00:1", "64:ff9b:1::1", "fe80::1", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1", "2001::1", "2002:a00:1::1",
    ],
)  # fmt: skip
def test_an_address_that_could_lead_inside_is_not_public(address):
    assert not addresses.is_public(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "193.0.14.129", "2600::1", "2a00:1450:4001::1"])
def test_a_routed_address_is_public(address):
    assert addresses.is_public(ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/x", "https://hooks.example:8443/x", "https://user:pass@hooks.example/", "https:///x",
        "https://hooks.example/x#part", "http://127.0.0.1:5000/hook", "https://hooks.example:99999/", "https://[::1",
    ],
)  # fmt: skip
def test_an_endpoint_is_a_public_https_address_on_port_443(url):
    with pytest.raises(AddressRefused):
        addresses.check_shape(url, loopback=False)
    addresses.check_shape("https://hooks.example/x", loopback=False)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "0x7f.1", "2130706433"])
async def test_a_name_that_resolves_inside_is_refused(host):
    with pytest.raises((AddressRefused, OSError)):
        await addresses.resolve(f"https://{host}/hook", loopback=False)


async def test_a_name_is_resolved_once_and_the_checked_address_is_connected_to(monkeypatch):
    import asyncio

    answers = iter([["93.184.216.34"], ["10.0.0.1"]])

    async def rebind(*_args, **_kwargs):
        return [(2, 1, 6, "", (address, 443)) for address in next(answers)]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", rebind, raising=False)
    target = await addresses.resolve("https://hooks.example/x?y=1", loopback=False)
    assert (target.url, target.host) == ("https://93.184.216.34:443/x?y=1", "hooks.example")
    with pytest.raises(AddressRefused):
        await addresses.resolve("https://hooks.example/x", loopback=False)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(200, "delivered"), (204, "delivered"), (301, "again"), (302, "again"), (400, "again"), (410, "gone"), (429, "again"), (500, "again")],
)  # fmt: skip
def test_what_an_answer_means(status, verdict):
    assert rules.judge(status) is Verdict(verdict)


def test_the_schedule_is_the_standards_and_then_ends():
    waits = [rules.pause_before(number, None, jitter=1) for number in range(11)]
    assert waits[:4] == [timedelta(0), timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30)]
    assert waits[9] == timedelta(hours=24) and waits[10] is None
    assert rules.pause_before(1, timedelta(minutes=3), jitter=1) == timedelta(minutes=3)
    assert rules.pause_before(1, timedelta(days=400), jitter=1) == timedelta(hours=24)


@pytest.mark.parametrize(
    ("header", "wait"), [("120", timedelta(seconds=120)), ("-1", None), ("soon", None), (None, None), ("9" * 99, None)]
)
def test_retry_after_is_read_in_seconds_only(header, wait):
    assert rules.retry_after(header) == wait


def test_signatures_verify_with_the_standards_own_library_while_a_secret_rotates():
    body, now, older = b'{"type":"consent.given"}', datetime.now(UTC), "whsec_" + "B" * 43 + "="
    header = rules.signatures("msg_1", now, body, [SECRET, older], Ed25519PrivateKey.generate())
    sent = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": header}
    for secret in (SECRET, older):
        assert Webhook(secret).verify(body, sent) == {"type": "consent.given"}
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(SECRET).verify(body + b" ", sent)
