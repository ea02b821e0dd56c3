"""What every human-readable format says of itself on its first page."""

from datetime import datetime

from services.registry.export.sheets import Context, Profile
from services.registry.labels import Label


def cover_lines(profile: Profile, context: Context) -> list[tuple[str, str]]:
    """(label, text), in order."""
    about, language = context.about, context.language
    controller = about["controller"]
    lines = [
        (
            Label(sv="Personuppgiftsansvarig", en="Controller"),
            f"{controller['name']} ({controller['organisation_number']})",
        ),
        (Label(sv="Adress", en="Address"), controller["address"]),
        (Label(sv="Kontakt", en="Contact"), f"{controller['email']}, {controller['telephone']}"),
        (Label(sv="Dataskyddsombud", en="Data protection officer"), controller["data_protection_officer"]),
        (Label(sv="Lagrum", en="Legal reference"), profile.legal_ref),
        (Label(sv="Gäller", en="As of"), instant(about["as_of"])),
        (Label(sv="Så som det var känt", en="As it was known"), instant(about["known_at"])),
        (Label(sv="Regelbok", en="Policy book"), about["policy_version"]),
        *(
            (
                sheet.title,
                Label(sv=f"{about['counts'][sheet.key]} rader", en=f"{about['counts'][sheet.key]} rows").in_(language),
            )
            for sheet in profile.sheets
        ),
    ]
    if profile.note:
        lines.append((Label(sv="Att veta", en="Please note"), profile.note.in_(language)))
    return [(label.in_(language), told) for label, told in lines]


def instant(written: str) -> str:
    return f"{datetime.fromisoformat(written):%Y-%m-%d %H:%M:%S} UTC"
