"""One spelling for every identifier (ETSI TS 103 280); what cannot be one is refused without repeating it."""

import pytest

from chassis.identifiers import BadIdentifier, normalise


@pytest.mark.parametrize(
    ("type", "value", "spelling"),
    [
        ("msisdn", "+46 70-123 45 67", "46701234567"),
        ("msisdn", "0046701234567", "46701234567"),
        ("msisdn", " 46701234567 ", "46701234567"),
        ("email", "Anna.Ek@Example.COM", "anna.ek@example.com"),
        ("email", "A\u030asa@exempel.se", "åsa@exempel.se"),
        ("mac", "A4-5E-60-C2-11-0F", "a4:5e:60:c2:11:0f"),
        ("mac", "a45e.60c2.110f", "a4:5e:60:c2:11:0f"),
        ("ipv4", "192.0.2.1", "192.0.2.1"),
        ("ipv6", "2001:DB8::1", "2001:0db8:0000:0000:0000:0000:0000:0001"),
        ("imsi", "240 01 1234567890", "240011234567890"),
        ("customer", " K-1002 ", "K-1002"),
        ("account", "Anna.Ek", "anna.ek"),
    ],
)
def test_each_type_has_one_spelling_and_it_is_stable(type, value, spelling):
    assert normalise(type, value) == normalise(type, spelling) == spelling


def test_a_number_in_national_form_needs_the_country_to_be_known():
    assert normalise("msisdn", "070-123 45 67", country="46") == "46701234567"
    assert normalise("msisdn", "+358 40 1234567", country="46") == "358401234567"
    with pytest.raises(BadIdentifier, match="country code"):
        normalise("msisdn", "070-123 45 67")


@pytest.mark.parametrize(
    ("type", "value"),
    [
        ("msisdn", "+46 70 ABC"), ("msisdn", "1" * 16), ("msisdn", "+"), ("msisdn", "٤٦٧٠١٢٣٤٥٦٧"),
        ("email", "anna"), ("email", "a@b@c"), ("email", "a b@c.se"), ("email", "@c.se"),
        ("mac", "a4:5e:60"), ("ipv4", "192.0.2.256"), ("ipv4", "10.0.0.0/8"), ("ipv6", "fe80::1%eth0"), ("ipv6", "::/64"),
        ("imsi", "12345"), ("imei", "1234"), ("customer", "  "), ("customer", "a\x00b"), ("customer", "x" * 256),
        ("shoe size", "43"),
    ],
)  # fmt: skip
def test_what_is_no_such_identifier_is_refused_without_repeating_it(type, value):
    with pytest.raises(BadIdentifier) as refused:
        normalise(type, value)
    assert refused.value.status == 422
    assert len(value) < 3 or value.strip() == "" or value not in str(refused.value)
