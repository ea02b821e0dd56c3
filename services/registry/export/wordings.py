"""What every human-readable format says of itself on its first page."""

from datetime import datetime

from services.registry.contract.policy import Text
from services.registry.export.sheets import Context, Profile


def cover_lines(profile: Profile, context: Context) -> list[tuple[str, str]]:
    """(label, text), in order."""
    about, language = context.about, context.language
    controller = about["controller"]
    lines = [
        (
            Text(sv="Personuppgiftsansvarig", en="Controller"),
            f"{controller['name']} ({controller['organisation_number']})",
        ),
        (Text(sv="Adress", en="Address"), controller["address"]),
        (Text(sv="Kontakt", en="Contact"), f"{controller['email']}, {controller['telephone']}"),
        (Text(sv="Dataskyddsombud", en="Data protection officer"), controller["data_protection_officer"]),
        (Text(sv="Lagrum", en="Legal reference"), profile.legal_ref),
        (Text(sv="Gäller", en="As of"), instant(about["as_of"])),
        (Text(sv="Så som det var känt", en="As it was known"), instant(about["known_at"])),
        (Text(sv="Regelbok", en="Policy book"), about["policy_version"]),
        *(
            (
                sheet.title,
                Text(sv=f"{about['counts'][sheet.key]} rader", en=f"{about['counts'][sheet.key]} rows").in_(language),
            )
            for sheet in profile.sheets
        ),
    ]
    if profile.note:
        lines.append((Text(sv="Att veta", en="Please note"), profile.note.in_(language)))
    return [(label.in_(language), told) for label, told in lines]


def instant(written: str) -> str:
    return f"{datetime.fromisoformat(written):%Y-%m-%d %H:%M:%S} UTC"
