"""The pages run their own script only: the policy has its hash, and markup that got in would run nothing."""

import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from made_runs import make_run, make_sweep

from autoencoder import AutoencoderModule, ImageDataModule
from autoencoder.evaluation.outputs import Outputs
from autoencoder.explorer.page import write_explorer
from autoencoder.pictures.html_page import fill_page
from autoencoder.pictures.save_study import save_study
from autoencoder.runs.jobs import find_runs
from autoencoder.runs.study import study_of

HOSTILE = "\"'><img src=x onerror=\"document.title='it ran'\"><script>document.title='it ran'</script>{{policy}}&lt;"
IN_PATHS = "<img src=x onerror=document.title='ran'>"
NAMES = ("default-src", "script-src", "style-src", "img-src", "base-uri", "form-action")


@pytest.fixture(scope="module")
def explorer(tmp_path_factory) -> Path:
    """The page of an untrained model, on images whose names are markup."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8)
    labels = np.arange(60) % 2
    data = ImageDataModule.from_arrays(pixels[:40], pixels[40:], labels[:40], labels[40:], name=HOSTILE)
    images = replace(data.images, class_names=(HOSTILE, f"1 {HOSTILE}"))
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("explorer") / "explorer.html"
    write_explorer(Outputs(AutoencoderModule(latent_dim=2, image_shape=(1, 8, 8)), images), {}, path)
    return path


@pytest.fixture(scope="module")
def summary(tmp_path_factory) -> Path:
    """The page of a sweep whose overrides, errors, folders, data set and title are markup."""
    folder = tmp_path_factory.mktemp("summary")
    jobs = [({"optimizer": name, "model.latent_dim": dim}, 0, 0.1 * dim) for name in (HOSTILE, "b") for dim in (1, 2)]
    make_sweep(folder / "sweep", *jobs)
    make_run(folder / "sweep" / IN_PATHS, {"optimizer": HOSTILE, "model.latent_dim": 3}, None, f"error: {HOSTILE}")
    make_run(folder / "sweep" / "9", {HOSTILE: "x"}, {"dataset": HOSTILE, "val/mse": 1.0, "test/mse": 1.0})
    save_study(study_of(find_runs([folder / "sweep"])), folder, HOSTILE, comparison=False)
    return folder / "summary.html"


class Reader(HTMLParser):
    """Keeps a page's policy, and the attributes of all its elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.policy, self.attributes = "", []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.attributes += attrs
        if ("http-equiv", "Content-Security-Policy") in attrs:
            self.policy = dict(attrs)["content"]


@pytest.mark.parametrize("name", ["explorer", "summary"])
def test_the_policy_allows_the_pages_own_script_and_style_and_nothing_else(name, request):
    text = request.getfixturevalue(name).read_text(encoding="utf-8")
    page = Reader(text)
    rules = dict(rule.split(" ", 1) for rule in page.policy.split("; "))
    assert tuple(rules) == NAMES and rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == "data:"
    for tag in ("script", "style"):
        content = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        hashes = [f"'sha256-{b64encode(sha256(one.encode()).digest()).decode()}'" for one in content]
        assert hashes == [rules[f"{tag}-src"]]
    assert text.index("Content-Security-Policy") < min(text.index("<script"), text.index("<style"))
    assert not [key for key, _ in page.attributes if key == "style" or key.startswith("on")]
    assert {value for key, value in page.attributes if key in ("src", "href")} <= {"data:,", "#main"}


@pytest.mark.parametrize("name", ["explorer", "summary"])
def test_markup_in_a_name_is_shown_as_text(name, request, browser):
    page = request.getfixturevalue(name)
    browser.get_log("browser")
    browser.get(page.as_uri())
    shown = browser.execute_script("return document.body.innerText + document.title")
    assert shown.count(HOSTILE) >= 4
    assert browser.execute_script("return document.querySelectorAll('img[src=x], script:not([id])').length") == 1
    assert "it ran" not in browser.title.replace(HOSTILE, "") and browser.get_log("browser") == []
    for selector in ("#legend li", "#chart [aria-label]", "#slider-list input"):  # what hovering and focus show
        for element in browser.find_elements("css selector", selector)[:5]:
            browser.execute_script("arguments[0].dispatchEvent(new Event('pointerenter'))", element)
    assert browser.execute_script("return document.querySelectorAll('img[src=x]').length") == 0


@pytest.mark.parametrize("name", ["explorer", "summary"])
@pytest.mark.parametrize(
    "markup",
    [
        *(
            "<script>document.title = 'it ran'</script>",
            "<script src='data:text/javascript,document.title=1'></script>",
        ),
        *("<img src=x onerror=\"document.title='it ran'\">", "<iframe src='data:text/html,x'></iframe>"),
        *("<p style='color: red'>", "<form action='https://example.org'><button id=send></button></form>"),
    ],
)
def test_markup_that_got_into_a_page_would_run_nothing(name, markup, request, browser, tmp_path):
    text = request.getfixturevalue(name).read_text(encoding="utf-8")
    (tmp_path / "page.html").write_text(text.replace("<main", f"{markup}<main", 1), encoding="utf-8")
    browser.get_log("browser")
    browser.get((tmp_path / "page.html").as_uri())
    browser.execute_script("document.getElementById('send')?.click()")
    refusals = [entry["message"] for entry in browser.get_log("browser")]
    assert any("Content Security Policy" in one for one in refusals), refusals
    assert browser.title not in ("it ran", "1") and browser.current_url.startswith("file:")


def test_parts_of_a_page_are_filled_in_once():
    template = "<style>{{style}}</style>{{policy}}<script>{{code}}</script><p>{{name}}</p>"
    page = fill_page(template, {"style": "a {}", "code": "1;", "name": "{{code}}"})
    assert page.endswith("<p>{{code}}</p>") and page.startswith("<style>a {}</style>default-src 'none'; script-src")
