"""Pages that people see of a service: plain HTML without a script, in Swedish or English, with nothing from elsewhere."""

import base64
import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse


class Pages:
    """The templates of a folder, and `told.html` for all; with the folder's `page.css` inside each page; `words` by language, then by the
    template's name for them."""

    def __init__(self, folder: Path, words: dict[str, dict[str, str]], referrer: str = "no-referrer") -> None:
        self._templates = Environment(
            loader=FileSystemLoader([folder, Path(__file__).parent / "templates"]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
        )
        self._words, self._referrer = words, referrer
        self._css = (folder / "page.css").read_text()
        self._style = base64.b64encode(hashlib.sha256(self._css.encode()).digest()).decode()

    def language(self, *asked: str | None) -> str:
        """The first that a parameter (`sv en`) or header (`sv-SE,en;q=0.5`) names and we speak; Swedish otherwise."""
        named = [
            each.partition(";")[0][:2].lower() for said in asked for each in (said or "").replace(",", " ").split()
        ]
        return next((each for each in named if each in self._words), "sv")

    def told(self, language: str, what: str, status: int = 200, again: str | None = None) -> HTMLResponse:
        """A heading and a sentence, the words `what` and `what_more`. again: an address at which to try once more."""
        return self.show("told.html", language, status, told=what, again=again)

    def show(
        self, template: str, language: str, status: int = 200, back_to: tuple[str, ...] = (), **told: Any
    ) -> HTMLResponse:
        """`back_to`: where the page's forms lead in the end, if elsewhere."""
        words = self._words[language]
        said = self._templates.get_template(template).render(language=language, words=words, css=self._css, **told)
        # Browsers apply form-action to the redirect after a form as well, so where it leads is named.
        target = "".join(f" {origin(address)}" for address in back_to)
        policy = (
            f"default-src 'none'; style-src 'sha256-{self._style}'; form-action 'self'{target}; "
            "frame-ancestors 'none'; base-uri 'none'"
        )
        headers = {
            "Content-Security-Policy": policy,
            "Cache-Control": "no-store",
            "Referrer-Policy": self._referrer,
            "X-Frame-Options": "DENY",
        }
        return HTMLResponse(said, status, headers)


def origin(address: str) -> str:
    """`https://shop.example` of a web address; of an application's own (`shop:/back`) its scheme, `shop:`."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") else f"{parts.scheme}:"
