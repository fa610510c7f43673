"""Fills in the templates of the HTML pages, each with a policy that lets a browser run the page's own script only."""

import re
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256

# Nothing is fetched, sent or framed; pictures are inside the page.
POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; img-src data:; base-uri 'none'; form-action 'none'"
)


def fill_page(template: str, parts: Mapping[str, str]) -> str:
    """The page of a template: each `{{name}}` is replaced by the part of that name, which is not searched again.

    `{{policy}}` becomes the content security policy. It allows the template's one `<script>` and one `<style>`, without
    attributes, by their hashes; whatever markup a name could bring into the page, it runs nothing.

    Args: parts, escaped where they are not the project's own.
    """

    def filled(text: str) -> str:
        return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], text)

    hashes = {}
    for tag in ("script", "style"):
        [content] = re.findall(rf"<{tag}>(.*?)</{tag}>", template, re.DOTALL)
        hashes[tag] = f"'sha256-{b64encode(sha256(filled(content).encode()).digest()).decode('ascii')}'"
    return filled(template.replace("{{policy}}", POLICY.format(**hashes)))
